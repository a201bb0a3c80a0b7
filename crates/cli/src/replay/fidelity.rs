//! How faithfully a replay kept its schedule, in words and figures.

use changetape_replayer::{Fidelity, Lateness};
use serde_json::{Value, json};

use crate::report;

/// What is said before anything else, if the player is to blame.
pub(super) fn not_kept(fidelity: &Fidelity) -> Option<String> {
    (!fidelity.kept_schedule()).then(|| {
        let (own, all) = (fidelity.lateness.own.late, fidelity.events);
        format!(
            "the schedule was not kept: {} of {} left over 1 ms late with nothing in their way \
             but this machine; changetape calibrate shows what it can do",
            report::count(own),
            report::events(all),
        )
    })
}

/// How late events left, what adds up, and what the host was busy with.
pub(super) fn lines(fidelity: &Fidelity) -> Vec<String> {
    let Lateness { p50, p90, p99, p999, max, late, early, ref own } = fidelity.lateness;
    let [p50, p90, p99, p999, max, own_p99] =
        [p50, p90, p99, p999, max, own.p99].map(report::brief);
    let late = report::events(late);
    let mut lines = vec![
        format!(
            "lateness: p50 {p50}, p90 {p90}, p99 {p99}, p99.9 {p999}, max {max}; {late} over 1 ms \
             late"
        ),
        format!(
            "of that by the player itself: p99 {own_p99}; {} over 1 ms late",
            report::events(own.late)
        ),
    ];
    if early > 0 {
        lines.push(format!("{} left early; this is a bug", report::events(early)));
    }
    if let Some((rate, drift)) = fidelity.rate.zip(fidelity.drift_ppm) {
        lines.push(format!("pace: {:.4} % of the schedule's, drift {drift:.2} ppm", rate * 1e2));
    }
    lines.extend(report::host(&fidelity.host).map(|host| format!("host: {host}")));
    lines
}

/// How late events left, for programs.
pub(super) fn lateness_json(fidelity: &Fidelity) -> Value {
    let Lateness { p50, p90, p99, p999, max, late, early, ref own } = fidelity.lateness;
    json!({
        "p50Micros": report::micros(p50),
        "p90Micros": report::micros(p90),
        "p99Micros": report::micros(p99),
        "p999Micros": report::micros(p999),
        "maxMicros": report::micros(max),
        "lateEvents": late,
        "earlyEvents": early,
        "own": { "p99Micros": report::micros(own.p99), "lateEvents": own.late },
    })
}
