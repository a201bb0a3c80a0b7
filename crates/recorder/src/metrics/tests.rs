//! Pages from values.

use changetape_core::{ClusterTime, Seq};

use super::*;
use crate::{BaseProgress, Progress};

/// A recording in which everything is known.
fn full() -> Snapshot {
    Snapshot {
        state: State::Recording,
        in_state: Duration::from_secs(500),
        events: 120,
        bytes: 70_000,
        end: Seq::new(1_120),
        tape_bytes: 30_000,
        reconnects: 2,
        retries: 5,
        gaps: 1,
        seals: 3,
        last_seal: Duration::from_millis(250),
        last_event: Some(ClusterTime { seconds: 1_772_366_400, increment: 4 }),
        reached: Some(ClusterTime { seconds: 1_772_366_410, increment: 1 }),
        lag_seconds: 2,
        oplog_left_seconds: Some(86_400),
        base: BaseProgress {
            documents: 1_500,
            bytes: 900_000,
            estimate: Some(2_000),
            standstill: Duration::from_secs(300),
        },
    }
}

/// A base that last got on some seconds ago.
fn taking_base(standstill: u64) -> Snapshot {
    let standstill = Duration::from_secs(standstill);
    Snapshot {
        state: State::TakingBase,
        base: BaseProgress { standstill, ..full().base },
        ..full()
    }
}

/// The lines that hold a value.
fn values(page: &str) -> Vec<&str> {
    page.lines().filter(|line| !line.starts_with('#')).collect()
}

#[test]
fn every_figure_is_on_the_page_with_its_help_and_type() {
    let page = text(&full());
    assert_eq!(
        values(&page),
        [
            "changetape_recorder_state{state=\"connecting\"} 0",
            "changetape_recorder_state{state=\"opening\"} 0",
            "changetape_recorder_state{state=\"taking_base\"} 0",
            "changetape_recorder_state{state=\"recording\"} 1",
            "changetape_recorder_state{state=\"waiting\"} 0",
            "changetape_recorder_source_away_seconds 0",
            "changetape_recorder_reconnects_total 2",
            "changetape_recorder_retries_total 5",
            "changetape_recorder_events_total 120",
            "changetape_recorder_bytes_total 70000",
            "changetape_recorder_last_durable_seq 1119",
            "changetape_recorder_last_event_timestamp_seconds 1772366400",
            "changetape_recorder_reached_timestamp_seconds 1772366410",
            "changetape_recorder_lag_seconds 2",
            "changetape_recorder_oplog_left_seconds 86400",
            "changetape_recorder_gaps_total 1",
            "changetape_recorder_tape_bytes 30000",
            "changetape_recorder_seals_total 3",
            "changetape_recorder_last_seal_seconds 0.25",
            "changetape_recorder_base_documents 1500",
            "changetape_recorder_base_estimated_documents 2000",
            "changetape_recorder_base_bytes 900000",
        ]
    );
    let page = page + &text(&taking_base(2));
    for (name, help) in HELP {
        let head = format!("# HELP changetape_recorder_{name} {help}\n# TYPE changetape_recorder_");
        assert!(!help.is_empty() && page.contains(&head), "{name}");
        let kind = if name.ends_with("_total") { "counter" } else { "gauge" };
        assert!(page.contains(&format!("# TYPE changetape_recorder_{name} {kind}\n")), "{name}");
    }
    assert!(page.ends_with('\n'));
}

#[test]
fn what_is_not_known_is_not_on_the_page() {
    let page = text(&Progress::default().snapshot());
    for unknown in [
        "last_durable_seq",
        "last_event_timestamp_seconds",
        "reached_timestamp_seconds",
        "lag_seconds",
        "oplog_left_seconds",
        "last_seal_seconds",
        "base_",
    ] {
        assert!(!page.contains(unknown), "{unknown}: {page}");
    }
    // While the source is away nobody knows where it is.
    let away = Snapshot { state: State::Waiting, in_state: Duration::from_millis(1500), ..full() };
    let page = text(&away);
    assert!(!page.contains("lag_seconds") && !page.contains("oplog_left_seconds"), "{page}");
    assert!(values(&page).contains(&"changetape_recorder_source_away_seconds 1.5"), "{page}");
    assert!(values(&page).contains(&"changetape_recorder_state{state=\"waiting\"} 1"), "{page}");
}

#[test]
fn a_recording_is_well_unless_its_source_stays_away() {
    let at = |state, seconds| {
        health(&Snapshot { state, in_state: Duration::from_secs(seconds), ..full() })
    };
    assert_eq!(at(State::Recording, 100), Ok("recording".to_owned()));
    assert_eq!(at(State::Waiting, 20), Ok("waiting for the source for 20 s".to_owned()));
    assert_eq!(at(State::Waiting, 21), Err("waiting for the source for 21 s".to_owned()));
    assert_eq!(at(State::Connecting, 30), Err("looking for the source for 30 s".to_owned()));
    assert_eq!(at(State::Opening, 30), Err("opening the stream for 30 s".to_owned()));
}

#[test]
fn a_base_is_well_while_it_gets_on() {
    let page = text(&taking_base(7));
    for line in [
        "changetape_recorder_state{state=\"taking_base\"} 1",
        "changetape_recorder_source_away_seconds 0",
        "changetape_recorder_base_documents 1500",
        "changetape_recorder_base_standstill_seconds 7",
    ] {
        assert!(values(&page).contains(&line), "{line}: {page}");
    }
    // The stream is not open: nobody knows how far the source is.
    assert!(!page.contains("lag_seconds"), "{page}");
    assert_eq!(health(&taking_base(90)), Ok("taking the base".to_owned()));
    let stuck = "taking the base, which has not got on for 91 s";
    assert_eq!(health(&taking_base(91)), Err(stuck.to_owned()));
}

#[test]
fn the_documentation_lists_every_metric() {
    let document = include_str!("../../../../docs/recording.md");
    for (name, _) in HELP {
        assert!(document.contains(&format!("`changetape_recorder_{name}`")), "{name}");
    }
}
