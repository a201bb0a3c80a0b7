//! Goal: every event counts once, as what it was, and what is whose doing.

use super::*;

fn at(micros: u64) -> Instant {
    Instant::from_nanos(micros * 1_000)
}

fn recorder() -> FidelityRecorder {
    FidelityRecorder::new().unwrap()
}

#[test]
fn lateness_is_told_in_percentiles() {
    let mut recorder = recorder();
    assert_eq!(recorder.summary(), None);
    for n in 1..=1_000 {
        recorder.record(at(n * 1_000), at(n * 1_000 + n), 1, Cause::Player);
    }
    let Fidelity { lateness, events, .. } = recorder.summary().unwrap();
    let near = |told: Duration, micros: u128| {
        assert!(told.as_micros().abs_diff(micros) <= 1, "{micros}: {lateness:?}");
    };
    near(lateness.p50, 500);
    near(lateness.p90, 900);
    near(lateness.p99, 990);
    near(lateness.p999, 999);
    near(lateness.own.p99, 990);
    assert_eq!(lateness.max, Duration::from_millis(1));
    // A millisecond is not yet late.
    assert_eq!((events, lateness.late, lateness.early), (1_000, 0, 0));
}

#[test]
fn what_the_sink_makes_late_is_not_the_player_s_doing() {
    let mut recorder = recorder();
    recorder.record(at(1_000), at(1_010), 1, Cause::Player);
    recorder.record(at(1_020), at(9_000), 99, Cause::Sink);
    let fidelity = recorder.summary().unwrap();
    assert_eq!((fidelity.events, fidelity.lateness.late), (100, 99));
    assert_eq!(fidelity.lateness.own, OwnLateness { p99: Duration::from_micros(10), late: 0 });
    assert!(fidelity.kept_schedule());
    recorder.record(at(10_000), at(11_001), 1, Cause::Player);
    let fidelity = recorder.summary().unwrap();
    assert_eq!((fidelity.lateness.own.late, fidelity.lateness.late), (1, 100));
    assert!(fidelity.kept_schedule(), "1 of 101 is no more than 1 of 100");
    recorder.record(at(20_000), at(21_001), 1, Cause::Player);
    assert!(!recorder.summary().unwrap().kept_schedule());
}

#[test]
fn an_event_that_leaves_early_is_counted() {
    let mut recorder = recorder();
    recorder.record(at(1_000), at(1_000), 5, Cause::Player);
    recorder.record(at(2_000), at(1_999), 3, Cause::Player);
    let lateness = recorder.summary().unwrap().lateness;
    assert_eq!((lateness.early, lateness.late, lateness.max), (3, 0, Duration::ZERO));
}

#[test]
fn a_pause_is_neither_drift_nor_a_lower_rate() {
    let mut recorder = recorder();
    for n in 0..10 {
        recorder.record(at(n * 1_000), at(n * 1_000 + 50), 1, Cause::Player);
    }
    recorder.begin_stretch();
    for n in 5_000..5_010 {
        recorder.record(at(n * 1_000), at(n * 1_000 + 450), 1, Cause::Player);
    }
    let fidelity = recorder.summary().unwrap();
    let (drift, rate) = (fidelity.drift_ppm.unwrap(), fidelity.rate.unwrap());
    assert!(drift.abs() < 1e-6 && (rate - 1.0).abs() < 1e-12, "{drift} {rate}");
}
