//! `--dry-run`: what a replay would deliver, and how long it would take.

use std::fmt::Write as _;
use std::sync::Arc;

use changetape_replayer::sink::dry::{Counted, DryRun};
use changetape_replayer::{
    Ended, Extent, Laps, ReplayOptions, Resume, SinkOptions, Speed, Summary,
};
use serde_json::{Value, json};

use super::summary::{
    crossed_line, ended_json, failed_json, hidden, inexact, inexact_json, nothing, skipped_json,
    skipped_line,
};
use super::{Job, exit, is_told};
use crate::args::{Format, OutputArgs, ReplayArgs};
use crate::exit::{Exit, Usage};
use crate::{info, report};

/// Runs a replay that delivers nothing.
pub(super) fn run(args: &ReplayArgs, output: &OutputArgs) -> anyhow::Result<Exit> {
    let sink = args.sink()?;
    let options = args.options(&sink)?;
    if options.resume == Resume::WhereItEnded {
        let sentence = "--dry-run asks no target, so it cannot tell what --resume goes on with: \
                        give --start instead";
        return Err(Usage::new(sentence).into());
    }
    let (speed, laps, counted) = (options.speed, options.laps, DryRun::default());
    if args.verification(&sink)?.is_some() {
        let sentence =
            "--dry-run changes nothing that --verify could compare: leave one of them out";
        return Err(Usage::new(sentence).into());
    }
    // It is made sure that a replay could begin.
    args.lateness(&sink)?;
    if args.control.address().is_some() {
        let sentence = "--dry-run plays nothing that --control could be asked about: leave one of \
                        them out";
        return Err(Usage::new(sentence).into());
    }
    let to = sink.to_string();
    let job = Job {
        tape: args.tape.path()?,
        sink,
        verify: None,
        base: args.base()?,
        lateness: None,
        // Nobody waits for what does not leave.
        options: ReplayOptions { speed: Speed::Max, laps: Laps::ONCE, ..options },
        sink_options: SinkOptions { dry_run: Some(counted.clone()), ..args.sink_options() },
        control: None,
        takes_keys: false,
    };
    let progress = Arc::default();
    let done = job.play(output, &progress).inspect_err(|error| {
        if is_told(error, output) {
            let json = failed_json(&progress, error, [("dryRun", true.into())]);
            // Where that cannot be told, the failure itself is what matters.
            let _ = report::print(&json.to_string());
        }
    })?;
    let (summary, counted) = (&done.summary, counted.counted());
    report::print(&match output.format {
        Format::Text => text(summary, &counted, (speed, laps), &to),
        Format::Json => json(summary, &counted, (speed, laps)).to_string(),
    })?;
    exit(done)
}

fn text(summary: &Summary, counted: &Counted, (speed, laps): (Speed, Laps), to: &str) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let mut line = |line: String| {
        let _ = writeln!(text, "{line}");
    };
    if summary.ended == Ended::Stopped {
        line(format!("stopped before {}; this is what comes before it", summary.reached));
    }
    if let Some(base) = &summary.base {
        line(format!(
            "would restore a base of {} ({}) of {} first",
            report::counted(base.documents, "document"),
            report::bytes(base.bytes),
            report::collections(base.collections),
        ));
    }
    if summary.selected == 0 {
        if summary.base.is_none_or(|base| base.extent == Extent::Whole) {
            line(nothing(summary));
        }
        return text;
    }
    line(format!(
        "would replay {} ({}) into {to}",
        report::events(summary.delivered),
        report::bytes(counted.bytes)
    ));
    let transactions = counted.transactions;
    if transactions.count > 0 {
        line(format!(
            "of them {} in {}, up to {} in one",
            report::events(transactions.events),
            report::counted(transactions.count, "transaction"),
            report::count(transactions.largest)
        ));
    }
    if let Some((first, last)) = summary.tape_time {
        let recorded = report::duration(summary.recorded());
        let takes = match speed.takes(summary.scheduled) {
            Some(takes) => format!("{} at {speed}", report::duration(takes)),
            None => "as long as the sink takes".to_owned(),
        };
        let takes = match laps {
            Laps::ONCE => takes,
            Laps::Times(times) => format!("{times} times {takes}"),
            Laps::Endless => format!("{takes}, again and again"),
        };
        line(format!("would take {takes}; recorded from {first} to {last} ({recorded})"));
    }
    if summary.repaired_times > 0 {
        line(format!(
            "{} with a recorded time that went backwards",
            report::events(summary.repaired_times)
        ));
    }
    hidden(summary).into_iter().for_each(&mut line);
    summary.crossed().map(crossed_line).for_each(&mut line);
    summary.skipped.iter().map(skipped_line).for_each(&mut line);
    inexact(summary).into_iter().for_each(&mut line);
    let operations = counted.operations.iter().map(|(operation, &events)| (operation, events));
    info::list(&mut text, "operations", operations, 0);
    let namespaces = counted.namespaces.iter().map(|(namespace, &events)| (namespace, events));
    info::list(&mut text, "namespaces", namespaces, 0);
    text
}

fn json(summary: &Summary, counted: &Counted, (speed, laps): (Speed, Laps)) -> Value {
    let transactions = counted.transactions;
    json!({
        "dryRun": true,
        "ended": ended_json(summary.ended),
        "base": summary.base.map(|base| json!({
            "collections": base.collections,
            "documents": base.documents,
            "bytes": base.bytes,
        })),
        "startSeq": summary.range.start.get(),
        "endSeq": summary.range.end.get(),
        "reachedSeq": summary.reached.get(),
        "read": summary.read,
        "selected": summary.selected,
        "events": summary.delivered,
        "bytes": counted.bytes,
        "operations": info::counts(counted.operations.iter()),
        "namespaces": info::counts(counted.namespaces.iter()),
        "transactions": {
            "count": transactions.count,
            "events": transactions.events,
            "largest": transactions.largest,
        },
        "hidden": summary.hidden,
        "gaps": summary.crossed().map(info::gap_json).collect::<Vec<_>>(),
        "skipped": skipped_json(&summary.skipped),
        "skippedEvents": summary.skipped_events(),
        "inexact": summary.inexact,
        "inexactEvents": inexact_json(summary),
        "repairedTimes": summary.repaired_times,
        "untimed": summary.untimed,
        "tapeTime": summary.tape_time.map(|(first, last)| json!({
            "first": first.to_string(),
            "last": last.to_string(),
        })),
        "recordedSeconds": summary.recorded().as_secs_f64(),
        "speed": speed.to_string(),
        "loop": laps.to_string(),
        "takesSeconds": speed.takes(summary.scheduled).map(|takes| takes.as_secs_f64()),
    })
}
