//! What is said of a replay at its end.

use changetape_core::Seq;
use changetape_replayer::{Ended, Extent, Fidelity, Progress, Skipped, Summary};
use changetape_tape::Gap;
use serde_json::{Value, json};

use super::verification::Verification;
use super::{base, expiries, fidelity, on_error};
use crate::{info, report};

pub(super) fn nothing(summary: &Summary) -> String {
    if summary.range.is_empty() {
        "the tape has no event in this range".to_owned()
    } else {
        format!("none of the {} in this range is selected", report::events(summary.read))
    }
}

pub(super) fn hidden(summary: &Summary) -> Option<String> {
    (summary.hidden > 0).then(|| {
        format!("left out {}; --show-expanded-events shows them", report::events(summary.hidden))
    })
}

pub(super) fn skipped_line(skipped: &Skipped) -> String {
    format!(
        "skipped {}: {} (first at {})",
        report::events(skipped.events),
        skipped.reason,
        skipped.first
    )
}

pub(super) fn crossed_line(gap: &Gap) -> String {
    format!("crossed a gap: {gap}")
}

fn played(summary: &Summary) -> String {
    if summary.selected == 0 {
        return nothing(summary);
    }
    format!(
        "replayed {} ({}) in {}, {}{}",
        report::events(summary.delivered),
        report::bytes(summary.bytes),
        report::duration(summary.elapsed),
        report::rate(summary.events_per_second()),
        match summary.ended {
            Ended::AtTheEnd => String::new(),
            Ended::Stopped => format!("; stopped before {}", summary.reached),
            Ended::SinkClosed => format!("; nobody reads on from {}", summary.reached),
            Ended::Late(by) => format!(
                "; ended before {}, which was {} late (--max-lateness)",
                summary.reached,
                report::milliseconds(by)
            ),
        },
    )
}

/// What somebody, or a slow sink, has done to the schedule.
fn moved(summary: &Summary) -> Option<String> {
    let mut parts = Vec::new();
    if !summary.paused.is_zero() {
        parts.push(format!("paused for {}", report::duration(summary.paused)));
    }
    if summary.seeks > 0 {
        parts.push(format!("went elsewhere {}", report::counted(summary.seeks, "time")));
    }
    if !summary.shifted.is_zero() {
        let shifted = report::duration(summary.shifted);
        parts.push(format!("the schedule waited {shifted} for the sink (--on-late shift)"));
    }
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// What was, or would be, applied from a form that does not say everything.
pub(super) fn inexact(summary: &Summary) -> Vec<String> {
    if summary.inexact == 0 {
        return Vec::new();
    }
    let count = report::events(summary.inexact);
    let all = format!("{count} in the public form, which does not say everything");
    let listed =
        summary.inexact_events.iter().map(|event| format!("  {} {}", event.seq, event.namespace));
    [all].into_iter().chain(listed).collect()
}

/// The same, one by one.
pub(super) fn inexact_json(summary: &Summary) -> Value {
    let listed = summary.inexact_events.iter();
    listed
        .map(|event| json!({"seq": event.seq.get(), "namespace": event.namespace.to_string()}))
        .collect()
}

/// All of it, for people.
pub(super) fn text(summary: &Summary, verification: &Verification) -> String {
    let mut lines = Vec::new();
    lines.extend(summary.fidelity.as_ref().and_then(fidelity::not_kept));
    if let Some(base) = &summary.base {
        lines.push(base::text(base));
    }
    if summary.base.is_none_or(|base| base.extent == Extent::Whole) {
        lines.push(played(summary));
    }
    lines.extend(moved(summary));
    lines.extend(summary.fidelity.iter().flat_map(fidelity::lines));
    if let Some(lag) = &summary.lag {
        lines.push(format!(
            "lag: p50 {}, p99 {}, max {}",
            report::milliseconds(lag.p50),
            report::milliseconds(lag.p99),
            report::milliseconds(lag.max),
        ));
    }
    if summary.repaired_times > 0 {
        lines.push(format!(
            "{} with a recorded time that went backwards, sent with the event before",
            report::events(summary.repaired_times)
        ));
    }
    lines.extend(hidden(summary));
    lines.extend(summary.crossed().map(crossed_line));
    lines.extend(summary.skipped.iter().map(skipped_line));
    if summary.transactions > 0 {
        let transactions = report::counted(summary.transactions, "recorded transaction");
        lines.push(format!("{transactions} applied as one"));
    }
    if let Some(first) = summary.first_torn {
        lines.push(format!(
            "{} not applied as one: the target takes no such transaction (first at {first})",
            report::counted(summary.torn, "recorded transaction")
        ));
    }
    lines.extend(on_error::lines(summary));
    if summary.adapted > 0 {
        lines.push(format!("{} found the effect there already", report::events(summary.adapted)));
    }
    lines.extend(inexact(summary));
    if summary.divergent > 0 {
        lines.push(format!(
            "{} without effect: the target differs from what the tape tells",
            report::events(summary.divergent)
        ));
        lines.extend(summary.divergences.iter().map(|divergence| {
            format!("  {} {}: {}", divergence.seq, divergence.namespace, divergence.found)
        }));
    }
    lines.extend(summary.expiries.sentences());
    lines.extend(verification.text());
    lines.join("\n")
}

pub(super) fn skipped_json(skipped: &[Skipped]) -> Value {
    let skipped = skipped.iter().map(|skipped| {
        json!({
            "reason": skipped.reason,
            "events": skipped.events,
            "firstSeq": skipped.first.get(),
        })
    });
    skipped.collect()
}

pub(super) fn ended_json(ended: Ended) -> &'static str {
    match ended {
        Ended::AtTheEnd => "end",
        Ended::Stopped => "stopped",
        Ended::SinkClosed => "sinkClosed",
        Ended::Late(_) => "late",
    }
}

/// All of it, for programs.
pub(super) fn json(summary: &Summary, verification: &Verification) -> Value {
    let divergences: Vec<_> = summary
        .divergences
        .iter()
        .map(|divergence| {
            json!({
                "seq": divergence.seq.get(),
                "namespace": divergence.namespace.to_string(),
                "found": divergence.found,
            })
        })
        .collect();
    let fidelity = summary.fidelity.as_ref();
    json!({
        "keptSchedule": fidelity.map(Fidelity::kept_schedule),
        "ended": ended_json(summary.ended),
        "base": summary.base.as_ref().map(base::json),
        "startSeq": summary.range.start.get(),
        "endSeq": summary.range.end.get(),
        "reachedSeq": summary.reached.get(),
        "read": summary.read,
        "selected": summary.selected,
        "delivered": summary.delivered,
        "bytes": summary.bytes,
        "hidden": summary.hidden,
        "gaps": summary.crossed().map(info::gap_json).collect::<Vec<_>>(),
        "skipped": skipped_json(&summary.skipped),
        "skippedEvents": summary.skipped_events(),
        "refused": summary.refused,
        "refusals": on_error::json(&summary.refusals),
        "transactions": summary.transactions,
        "tornTransactions": summary.torn,
        "firstTornSeq": summary.first_torn.map(Seq::get),
        "adapted": summary.adapted,
        "inexact": summary.inexact,
        "inexactEvents": inexact_json(summary),
        "divergent": summary.divergent,
        "divergences": divergences,
        "expiries": expiries::json(&summary.expiries),
        "repairedTimes": summary.repaired_times,
        "untimed": summary.untimed,
        "lateness": fidelity.map(fidelity::lateness_json),
        "rateRatio": fidelity.map(|fidelity| fidelity.rate),
        "driftPpm": fidelity.map(|fidelity| fidelity.drift_ppm),
        "host": fidelity.map(|fidelity| report::host_json(&fidelity.host)),
        "lag": summary.lag.as_ref().map(|lag| json!({
            "p50Micros": report::micros(lag.p50),
            "p99Micros": report::micros(lag.p99),
            "maxMicros": report::micros(lag.max),
        })),
        "elapsedSeconds": summary.elapsed.as_secs_f64(),
        "pausedSeconds": summary.paused.as_secs_f64(),
        "seeks": summary.seeks,
        "shiftedSeconds": summary.shifted.as_secs_f64(),
        "eventsPerSecond": summary.events_per_second(),
        "tapeTime": summary.tape_time.map(|(first, last)| json!({
            "first": first.to_string(),
            "last": last.to_string(),
        })),
        "verification": verification.json(),
    })
}

/// How far a replay came that failed, and what more is known of it, for programs.
pub(super) fn failed_json<const N: usize>(
    progress: &Progress,
    error: &anyhow::Error,
    more: [(&str, Value); N],
) -> Value {
    // Of one that did not begin, and of an empty range, there are no places to tell.
    let has_begun = progress.start() < progress.end();
    let place = |seq: Seq| json!(has_begun.then_some(seq.get()));
    let known = [
        ("ended", "failed".into()),
        ("error", format!("{error:#}").into()),
        ("startSeq", place(progress.start())),
        ("endSeq", place(progress.end())),
        ("reachedSeq", place(progress.reached())),
    ];
    known.into_iter().chain(more).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use changetape_core::{Namespace, WallTime};
    use changetape_replayer::{
        Divergence, Expiries, HostLoad, InexactEvent, Lag, Lateness, OwnLateness,
    };

    use super::*;

    fn fidelity() -> Fidelity {
        Fidelity {
            events: 29,
            lateness: Lateness {
                p50: Duration::from_micros(13),
                p90: Duration::from_nanos(13_500),
                p99: Duration::from_micros(14),
                p999: Duration::from_nanos(14_500),
                max: Duration::from_micros(15),
                late: 16,
                early: 26,
                own: OwnLateness { p99: Duration::from_micros(27), late: 28 },
            },
            rate: Some(0.75),
            drift_ppm: Some(-0.5),
            host: HostLoad { steal: Some(Duration::from_secs(30)), pressure: None },
        }
    }

    fn namespace() -> Namespace {
        Namespace::collection("shop", "orders")
    }

    fn summary() -> Summary {
        Summary {
            ended: Ended::Stopped,
            base: None,
            range: Seq::new(1)..Seq::new(90),
            reached: Seq::new(60),
            read: 70,
            selected: 69,
            delivered: 50,
            bytes: 5_000,
            gaps: Vec::new(),
            hidden: 3,
            skipped: vec![Skipped { reason: "odd".into(), events: 4, first: Seq::new(5) }],
            refused: 20,
            refusals: Vec::new(),
            transactions: 21,
            torn: 22,
            first_torn: Some(Seq::new(23)),
            adapted: 6,
            inexact: 7,
            inexact_events: vec![InexactEvent { seq: Seq::new(8), namespace: namespace() }],
            divergent: 9,
            divergences: vec![Divergence {
                seq: Seq::new(10),
                namespace: namespace(),
                found: "nothing",
            }],
            expiries: Expiries { put_right: 24, held: 25, left: Vec::new() },
            repaired_times: 11,
            untimed: 12,
            fidelity: Some(fidelity()),
            lag: Some(Lag {
                p50: Duration::from_micros(17),
                p99: Duration::from_micros(18),
                max: Duration::from_micros(19),
            }),
            elapsed: Duration::from_secs(2),
            paused: Duration::from_secs(40),
            seeks: 41,
            shifted: Duration::from_secs(42),
            scheduled: Duration::from_secs(43),
            tape_time: Some((WallTime::from_millis(1), WallTime::from_millis(2))),
        }
    }

    #[test]
    fn programs_get_every_figure() {
        let expected = json!({
            "keptSchedule": false,
            "ended": "stopped",
            "base": null,
            "startSeq": 1,
            "endSeq": 90,
            "reachedSeq": 60,
            "read": 70,
            "selected": 69,
            "delivered": 50,
            "bytes": 5_000,
            "hidden": 3,
            "gaps": [],
            "skipped": [{"reason": "odd", "events": 4, "firstSeq": 5}],
            "skippedEvents": 4,
            "refused": 20,
            "refusals": [],
            "transactions": 21,
            "tornTransactions": 22,
            "firstTornSeq": 23,
            "adapted": 6,
            "inexact": 7,
            "inexactEvents": [{"seq": 8, "namespace": "shop.orders"}],
            "divergent": 9,
            "divergences": [{"seq": 10, "namespace": "shop.orders", "found": "nothing"}],
            "expiries": {"putRight": 24, "held": 25, "left": []},
            "repairedTimes": 11,
            "untimed": 12,
            "lateness": {
                "p50Micros": 13.0,
                "p90Micros": 13.5,
                "p99Micros": 14.0,
                "p999Micros": 14.5,
                "maxMicros": 15.0,
                "lateEvents": 16,
                "earlyEvents": 26,
                "own": {"p99Micros": 27.0, "lateEvents": 28},
            },
            "rateRatio": 0.75,
            "driftPpm": -0.5,
            "host": {"stealSeconds": 30.0, "cpuPressureSeconds": null},
            "lag": {"p50Micros": 17.0, "p99Micros": 18.0, "maxMicros": 19.0},
            "elapsedSeconds": 2.0,
                "pausedSeconds": 40.0,
                "seeks": 41,
                "shiftedSeconds": 42.0,
            "eventsPerSecond": 25.0,
            "tapeTime":
                {"first": "1970-01-01T00:00:00.001Z", "last": "1970-01-01T00:00:00.002Z"},
            "verification": {"same": null, "notCompared": "the replay did not come to its end"},
        });
        assert_eq!(json(&summary(), &Verification::Unfinished), expected);
    }

    #[test]
    fn that_the_player_did_not_keep_the_schedule_is_said_first() {
        let mut summary = summary();
        let first = |summary: &Summary| {
            let text = text(summary, &Verification::NotAsked);
            text.lines().next().unwrap().to_owned()
        };
        assert!(
            first(&summary).starts_with("the schedule was not kept: 28 of 29 events left over")
        );
        // All of them late, by the sink.
        summary.fidelity.as_mut().unwrap().lateness.own.late = 0;
        assert!(first(&summary).starts_with("replayed 50 events"));
    }

    #[test]
    fn of_a_replay_that_did_not_begin_there_are_no_places() {
        let error = anyhow::anyhow!("no").context("cannot");
        let expected = json!({
            "ended": "failed",
            "error": "cannot: no",
            "startSeq": null,
            "endSeq": null,
            "reachedSeq": null,
            "more": 1,
        });
        assert_eq!(failed_json(&Progress::default(), &error, [("more", 1.into())]), expected);
    }
}
