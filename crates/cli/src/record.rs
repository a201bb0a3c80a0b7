//! `changetape record`.

use std::path::Path;
use std::sync::Arc;

use changetape_deployment::Deployment;
use changetape_recorder::{
    BaseProgress, Ending, Progress, Snapshot, State, Summary, record, watch_oplog,
};
use changetape_tape::UpdateForm;
use serde_json::json;

use crate::args::{Format, OutputArgs, RecordArgs};
use crate::exit::Exit;
use crate::progress::{self, Line, Rate};
use crate::{metrics, report, signals};

/// Runs the command.
pub(crate) fn run(args: &RecordArgs, output: &OutputArgs) -> anyhow::Result<Exit> {
    let uri = args.uri()?;
    let tape = args.tape.path()?;
    let options = args.options();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let summary = runtime.block_on(async {
        let stop = signals::stop_on_signal()?;
        let progress = Arc::new(Progress::default());
        if let Some(address) = &args.metrics {
            metrics::serve(address, Arc::clone(&progress)).await?;
        }
        let session = async {
            let source = Deployment::connect(&uri).await?;
            tracing::info!("recording {} onto {}", source.hosts(), tape.display());
            let _shown = progress::show(output, line(Arc::clone(&progress)));
            let recorded = tokio::select! {
                recorded = record(&source, tape, &options, Arc::clone(&progress), &stop) => recorded,
                // Nobody else asks for it.
                never = watch_oplog(&source, &progress), if args.metrics.is_some() => match never {},
            };
            source.close().await;
            anyhow::Ok(recorded?)
        };
        tokio::select! {
            summary = session => summary.map(Some),
            // Until the stream is open there is nothing to end cleanly.
            () = stopped_early(&stop, &progress) => Ok(None),
        }
    })?;
    let Some(summary) = summary else { return Ok(Exit::Interrupted) };
    report::print(&match output.format {
        Format::Text => text(&summary, tape),
        Format::Json => json(&summary, tape),
    })?;
    Ok(if summary.gaps > 0 { Exit::Loss } else { Exit::Done })
}

async fn stopped_early(stop: &tokio_util::sync::CancellationToken, progress: &Progress) {
    stop.cancelled().await;
    if progress.snapshot().state != State::Connecting {
        std::future::pending::<()>().await;
    }
}

fn line(progress: Arc<Progress>) -> impl FnMut() -> Line + Send + 'static {
    let (mut events, mut bytes, mut documents) = (Rate::new(), Rate::new(), Rate::new());
    move || {
        let now = progress.snapshot();
        if now.state == State::TakingBase {
            return base_line(now.base, documents.per_second(now.base.documents));
        }
        stream_line(&now, events.per_second(now.events), bytes.per_second(now.bytes))
    }
}

/// The line while events are read, or would be if the source were there. What matters least stands
/// last: terminals may be narrow.
fn stream_line(now: &Snapshot, events_per_second: f64, bytes_per_second: f64) -> Line {
    let doing = match now.state {
        State::Connecting => "looking for the source",
        State::Opening | State::TakingBase => "opening the stream",
        State::Recording => "recording",
        State::Waiting => "waiting for the source",
    };
    let (seconds, retries) = (now.in_state.as_secs(), now.retries);
    let mut parts = vec![
        report::events(now.events),
        report::rate(events_per_second),
        format!("{:.1} MB/s", bytes_per_second / 1e6),
    ];
    let doing = if now.state == State::Recording {
        parts.push(match now.lag_seconds {
            0 => "up to date".to_owned(),
            seconds => format!("{seconds} s behind"),
        });
        doing.to_owned()
    } else {
        // How far behind it is meanwhile nobody knows.
        format!("{doing} for {seconds} s, retries so far {retries}")
    };
    parts.push(format!("tape {}", report::bytes(now.tape_bytes)));
    parts.push(match now.last_event {
        Some(time) => format!("last event {}", time.wall_time()),
        None => "no event yet".to_owned(),
    });
    if now.state == State::Recording && retries > 0 {
        parts.push(format!("retries {retries}"));
    }
    Line { text: format!("{doing}: {}", parts.join(", ")), part: None }
}

/// The line while a base is taken. How many documents there are the server only estimates.
fn base_line(base: BaseProgress, documents_per_second: f64) -> Line {
    let Some(estimate) = base.estimate else {
        let text = "taking the base: listing and trying what there is".to_owned();
        return Line { text, part: None };
    };
    let of = estimate.max(base.documents);
    Line {
        text: format!(
            "taking the base: {} of about {} documents, {}, {}",
            report::count(base.documents),
            report::count(of),
            report::bytes(base.bytes),
            report::rate(documents_per_second),
        ),
        part: Some((base.documents, of)),
    }
}

fn text(summary: &Summary, tape: &Path) -> String {
    let why = match summary.ending {
        Ending::Stopped => "stopped",
        Ending::Count => "the count is reached",
        Ending::Duration => "the time is over",
        Ending::Idle => "nothing more came",
    };
    let mut lines = vec![
        format!(
            "recorded {} ({}) in {}, {}: {why}",
            report::events(summary.events),
            report::bytes(summary.bytes),
            report::duration(summary.elapsed),
            report::rate(report::per_second(summary.events, summary.elapsed)),
        ),
        format!(
            "{} holds {}, {} on disk",
            tape.display(),
            report::events(summary.tape_events),
            report::bytes(summary.tape_bytes),
        ),
    ];
    if let Some(base) = &summary.base {
        lines.insert(0, format!("took a base of {}", report::base(base)));
    }
    if summary.reconnects > 0 {
        let times = match summary.reconnects {
            1 => "once".to_owned(),
            n => format!("{n} times"),
        };
        lines.push(format!("the stream was opened again {times}"));
    }
    if summary.gaps > 0 {
        lines.push(format!(
            "events are lost to the recording: {}, as `changetape info` shows",
            report::counted(summary.gaps, "gap")
        ));
    }
    lines.join("\n")
}

fn json(summary: &Summary, tape: &Path) -> String {
    json!({
        "tape": tape.display().to_string(),
        "events": summary.events,
        "bytes": summary.bytes,
        "firstSeq": summary.seqs.start.get(),
        "endSeq": summary.seqs.end.get(),
        "tapeEvents": summary.tape_events,
        "tapeBytes": summary.tape_bytes,
        "updates": match summary.updates {
            UpdateForm::Raw => "raw",
            UpdateForm::Public => "public",
        },
        "base": summary.base.as_ref().map(report::base_json),
        "reconnects": summary.reconnects,
        "gaps": summary.gaps,
        "elapsedSeconds": summary.elapsed.as_secs_f64(),
        "eventsPerSecond": report::per_second(summary.events, summary.elapsed),
        "ending": match summary.ending {
            Ending::Stopped => "stopped",
            Ending::Count => "count",
            Ending::Duration => "duration",
            Ending::Idle => "idle",
        },
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use changetape_core::ClusterTime;

    use super::*;

    /// A recording in the middle of its life.
    fn recording() -> Snapshot {
        Snapshot {
            state: State::Recording,
            events: 1_204,
            tape_bytes: 300_000,
            retries: 5,
            last_event: Some(ClusterTime { seconds: 1_772_366_400, increment: 4 }),
            ..Progress::default().snapshot()
        }
    }

    #[test]
    fn the_line_says_what_the_recorder_does_and_how_far_it_is() {
        let line = |now: Snapshot| stream_line(&now, 120.4, 1_230_000.0).text;
        assert_eq!(
            line(recording()),
            "recording: 1 204 events, 120/s, 1.2 MB/s, up to date, tape 300.0 kB, \
             last event 2026-03-01T12:00:00Z, retries 5"
        );
        assert_eq!(
            line(Snapshot { lag_seconds: 7, retries: 0, ..recording() }),
            "recording: 1 204 events, 120/s, 1.2 MB/s, 7 s behind, tape 300.0 kB, \
             last event 2026-03-01T12:00:00Z"
        );
        // How far behind it is nobody knows then.
        let away = Duration::from_millis(12_900);
        assert_eq!(
            line(Snapshot { state: State::Waiting, in_state: away, lag_seconds: 7, ..recording() }),
            "waiting for the source for 12 s, retries so far 5: 1 204 events, 120/s, 1.2 MB/s, \
             tape 300.0 kB, last event 2026-03-01T12:00:00Z"
        );
        let begun = Snapshot { in_state: Duration::ZERO, ..Progress::default().snapshot() };
        assert_eq!(
            stream_line(&begun, 0.0, 0.0).text,
            "looking for the source for 0 s, retries so far 0: 0 events, 0/s, 0.0 MB/s, tape 0 B, \
             no event yet"
        );
    }

    #[test]
    fn the_line_of_a_base_counts_against_the_estimate() {
        let line = |documents, estimate| {
            let base = BaseProgress::default();
            base_line(BaseProgress { documents, bytes: 3_400_000, estimate, ..base }, 820.0)
        };
        let unknown = line(0, None);
        assert_eq!(unknown.text, "taking the base: listing and trying what there is");
        assert_eq!(unknown.part, None);
        let half = line(600, Some(1_200));
        assert_eq!(half.text, "taking the base: 600 of about 1 200 documents, 3.4 MB, 820/s");
        assert_eq!(half.part, Some((600, 1_200)));
        // The server's estimate was too low.
        let more = line(1_300, Some(1_200));
        assert!(more.text.contains("1 300 of about 1 300 documents"), "{}", more.text);
        assert_eq!(more.part, Some((1_300, 1_300)));
    }
}
