//! `changetape replay` and `changetape cat`.

mod base;
mod expiries;

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use changetape_core::{Position, WallTime};
use changetape_replayer::{
    Ended, Existing, Extent, Progress, Replay, ReplayOptions, Restoration, Selection, SinkAddress,
    SinkOptions, Speed, Stop, Summary,
};
use changetape_tape::{Gap, TapeReader};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::args::{CatArgs, Format, OutputArgs, ReplayArgs};
use crate::exit::Exit;
use crate::progress::{self, Line, Rate};
use crate::{info, report, signals};

/// How long after Ctrl-C or SIGTERM a reader of standard output has to take what is being printed.
const PRINTING_PATIENCE: Duration = Duration::from_secs(2);

/// How far the source's clock may be ahead of the recorder's, so that events seem to have arrived
/// before they happened: as far as Kerberos lets clocks be apart.
const CLOCKS_APART_MILLIS: i64 = 5 * 60 * 1000;

/// Runs `changetape replay`.
pub(crate) fn run(args: &ReplayArgs, output: &OutputArgs) -> anyhow::Result<Exit> {
    let job = Job {
        tape: args.tape.path()?,
        sink: args.sink()?,
        base: args.base()?,
        options: args.options()?,
        sink_options: args.sink_options(),
    };
    let printing = job.sink == SinkAddress::Stdout;
    // Events on a terminal leave no place for a progress line among them.
    let quiet = output.quiet || (printing && io::stdout().is_terminal());
    let summary = job.play(&OutputArgs { quiet, ..output.clone() })?;
    let text = match output.format {
        Format::Text => text(&summary),
        Format::Json => json(&summary),
    };
    if !printing {
        report::print(&text)?;
    } else if !output.quiet {
        // Stdout has the events; what is said about them must not end up among them.
        // If stderr is closed, nobody wants to know.
        let _ = writeln!(io::stderr(), "{text}");
    }
    Ok(exit(&summary))
}

/// Runs `changetape cat`.
pub(crate) fn cat(args: &CatArgs, output: &OutputArgs) -> anyhow::Result<Exit> {
    let job = Job {
        tape: args.tape.path()?,
        sink: SinkAddress::Stdout,
        base: None,
        options: args.options(),
        sink_options: args.sink_options(),
    };
    // Events are all there is to see, unless they go somewhere else or something is amiss.
    let quiet = OutputArgs { quiet: true, ..output.clone() };
    let summary = job.play(&quiet)?;
    if summary.selected == 0 {
        tracing::info!("{}", nothing(&summary));
    }
    if let Some(hidden) = hidden(&summary) {
        tracing::info!("{hidden}");
    }
    for gap in summary.crossed() {
        tracing::warn!("{}", crossed_line(gap));
    }
    for skipped in &summary.skipped {
        tracing::warn!("{}", skipped_line(skipped));
    }
    Ok(exit(&summary))
}

/// One tape to be played into one sink.
struct Job<'a> {
    tape: &'a Path,
    sink: SinkAddress,
    /// Whether the base is restored first, and over what.
    base: Option<Existing>,
    options: ReplayOptions,
    sink_options: SinkOptions,
}

impl Job<'_> {
    fn play(self, output: &OutputArgs) -> anyhow::Result<Summary> {
        if self.base.is_some() {
            self.sink.check_takes_base()?;
        }
        // The tape first: a target need not be bothered for a tape that cannot be read.
        let tape = TapeReader::open(self.tape)?;
        let base = |existing| Restoration::of(&tape, &self.options, existing);
        let base = self.base.map(base).transpose()?;
        if let Some(unseen) = info::unseen(tape.tail()) {
            tracing::info!("left out {unseen}");
        }
        if let Some(dropped) = dropped(&tape, &self.options.selection)? {
            tracing::info!("left out {dropped}");
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(async {
            let signalled = signals::stop_on_signal()?;
            let stop = stop_when(&signalled);
            let printing = self.sink == SinkAddress::Stdout;
            let sink = self.sink.open(&self.sink_options).await?;
            let progress = Arc::new(Progress::default());
            let speed = self.options.speed;
            let _shown = progress::show(output, line(Arc::clone(&progress), speed));
            let replay = Replay::new(tape, self.options, sink).with_base(base);
            let playing = tokio::task::spawn_blocking(move || replay.run(&progress, &stop));
            let played = tokio::select! {
                played = playing => played,
                () = unread(&signalled), if printing => {
                    tracing::warn!("nobody reads what is printed; stopped without finishing");
                    std::process::exit(Exit::Interrupted as i32);
                }
            };
            Ok(played.context("the replay ended unexpectedly; this is a bug")??)
        })
    }
}

/// What was asked for and is no longer on the tape, in words.
fn dropped(tape: &TapeReader, selection: &Selection) -> anyhow::Result<Option<String>> {
    let Some(dropped) = tape.dropped() else { return Ok(None) };
    // Which times the dropped ones had is not known any more, but when the last of them arrived:
    // all had happened by then.
    let latest = dropped.arrived.as_millis().saturating_add(CLOCKS_APART_MILLIS);
    let reaches_back_to = |time: WallTime| {
        anyhow::Ok(time.as_millis() <= latest && selection.range(tape)?.start == tape.start())
    };
    let reaches_back = match selection.start {
        None => true,
        Some(Position::Seq(start)) => start < dropped.end,
        Some(Position::Time(time)) => reaches_back_to(time)?,
        Some(Position::Cluster(time)) => reaches_back_to(time.wall_time())?,
    };
    let events = report::events(dropped.events);
    Ok(reaches_back.then(|| {
        format!(
            "what was dropped (--retain): {events} before {}, the last of {}",
            dropped.end, dropped.arrived
        )
    }))
}

/// A request to stop that the first signal makes.
pub(crate) fn stop_when(signalled: &CancellationToken) -> Stop {
    let stop = Stop::default();
    let (told, signalled) = (stop.clone(), signalled.clone());
    tokio::spawn(async move {
        signalled.cancelled().await;
        told.request();
    });
    stop
}

/// Ends some time after the signal: a write to a pipe that nobody reads from never ends, so the
/// replay cannot be waited for.
async fn unread(signalled: &CancellationToken) {
    signalled.cancelled().await;
    tokio::time::sleep(PRINTING_PATIENCE).await;
}

fn exit(summary: &Summary) -> Exit {
    match summary.ended {
        Ended::Stopped => Exit::Interrupted,
        Ended::AtTheEnd | Ended::SinkClosed if summary.is_faithful() => Exit::Done,
        Ended::AtTheEnd | Ended::SinkClosed => Exit::Loss,
    }
}

fn line(progress: Arc<Progress>, speed: Speed) -> impl FnMut() -> Line + Send + 'static {
    let (mut rate, mut base_rate) = (Rate::new(), Rate::new());
    move || {
        if let Some(base) = progress.base() {
            rate = Rate::new();
            return base::line(&base, base_rate.per_second(base.documents));
        }
        let events = progress.events();
        let mut text =
            format!("{}, {}", report::events(events), report::rate(rate.per_second(events)));
        if let Some(time) = progress.tape_time() {
            // Writing to a string cannot fail.
            let _ = write!(text, ", at {time}");
        }
        if speed != Speed::Max {
            let _ = write!(text, ", late {}", report::milliseconds(progress.lateness()));
        }
        let (start, end) = (progress.start(), progress.end());
        Line { text, part: Some((progress.reached().since(start), end.since(start))) }
    }
}

fn nothing(summary: &Summary) -> String {
    if summary.range.is_empty() {
        "the tape has no event in this range".to_owned()
    } else {
        format!("none of the {} in this range is selected", report::events(summary.read))
    }
}

fn hidden(summary: &Summary) -> Option<String> {
    (summary.hidden > 0).then(|| {
        format!("left out {}; --show-expanded-events shows them", report::events(summary.hidden))
    })
}

fn skipped_line(skipped: &changetape_replayer::Skipped) -> String {
    format!(
        "skipped {}: {} (first at {})",
        report::events(skipped.events),
        skipped.reason,
        skipped.first
    )
}

fn crossed_line(gap: &Gap) -> String {
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
        },
    )
}

fn text(summary: &Summary) -> String {
    let mut lines = Vec::new();
    if let Some(base) = &summary.base {
        lines.push(base::text(base));
    }
    if summary.base.is_none_or(|base| base.extent == Extent::Whole) {
        lines.push(played(summary));
    }
    if let Some(late) = &summary.lateness {
        lines.push(format!(
            "lateness: p50 {}, p99 {}, max {}; {} over 1 ms late",
            report::milliseconds(late.p50),
            report::milliseconds(late.p99),
            report::milliseconds(late.max),
            report::events(late.late),
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
    if summary.adapted > 0 {
        lines.push(format!("{} found the effect there already", report::events(summary.adapted)));
    }
    if let Some(first) = summary.first_inexact {
        lines.push(format!(
            "{} applied from the public form, which does not say everything (first at {first})",
            report::events(summary.inexact)
        ));
    }
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
    lines.join("\n")
}

fn json(summary: &Summary) -> String {
    let skipped: Vec<_> = summary
        .skipped
        .iter()
        .map(|skipped| {
            json!({
                "reason": skipped.reason,
                "events": skipped.events,
                "firstSeq": skipped.first.get(),
            })
        })
        .collect();
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
    let object = json!({
        "ended": match summary.ended {
            Ended::AtTheEnd => "end",
            Ended::Stopped => "stopped",
            Ended::SinkClosed => "sinkClosed",
        },
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
        "skipped": skipped,
        "skippedEvents": summary.skipped_events(),
        "adapted": summary.adapted,
        "inexact": summary.inexact,
        "divergent": summary.divergent,
        "divergences": divergences,
        "expiries": expiries::json(&summary.expiries),
        "repairedTimes": summary.repaired_times,
        "untimed": summary.untimed,
        "lateness": summary.lateness.as_ref().map(|late| json!({
            "p50Micros": report::micros(late.p50),
            "p99Micros": report::micros(late.p99),
            "maxMicros": report::micros(late.max),
            "lateEvents": late.late,
        })),
        "elapsedSeconds": summary.elapsed.as_secs_f64(),
        "eventsPerSecond": summary.events_per_second(),
        "tapeTime": summary.tape_time.map(|(first, last)| json!({
            "first": first.to_string(),
            "last": last.to_string(),
        })),
    });
    object.to_string()
}
