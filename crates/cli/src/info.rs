//! `changetape info`.

use std::fmt::{Display, Write as _};
use std::path::Path;
use std::time::Duration;

use bson::raw::RawDocumentBuf;
use bson::{Bson, Document};
use changetape_tape::{Edge, Gap, Metadata, Summary, Tail, TapeReader, UpdateForm};
use serde_json::{Value, json};

use crate::args::{Format, InfoArgs, OutputArgs};
use crate::exit::Exit;
use crate::report;

/// How many namespaces people are shown; programs get all.
const LISTED: usize = 20;

/// Runs the command.
pub(crate) fn run(args: &InfoArgs, output: &OutputArgs) -> anyhow::Result<Exit> {
    let path = args.tape.path()?;
    let tape = TapeReader::open(path)?;
    let summary = tape.summary()?;
    report::print(&match output.format {
        Format::Text => text(path, &tape, &summary),
        Format::Json => json(path, &tape, &summary).to_string(),
    })?;
    Ok(Exit::Done)
}

fn text(path: &Path, tape: &TapeReader, summary: &Summary) -> String {
    let metadata = tape.metadata();
    let mut text = format!("{}\n", path.display());
    // Writing to a string cannot fail.
    let mut row = |name: &str, value: &dyn Display| {
        let _ = writeln!(text, "  {name:13} {value}");
    };

    if let Some(base) = &summary.base {
        row("base", &format!("{}, {} on disk", report::base(base), report::bytes(base.disk_bytes)));
    }
    match summary.end.get().checked_sub(1).filter(|_| summary.events > 0) {
        None => row("events", &"no event yet"),
        Some(last) => row(
            "events",
            &format!(
                "{}, {} to #{last}, {}",
                report::count(summary.events),
                summary.start,
                report::bytes(summary.raw_bytes)
            ),
        ),
    }
    if let Some(tail) = unseen(tape.tail()) {
        row("not shown", &tail);
    }
    if let Some(dropped) = &summary.dropped {
        let events = report::events(dropped.events);
        row(
            "dropped",
            &format!("{events} before {}, the last of {}", dropped.end, dropped.arrived),
        );
    }
    for gap in summary.gaps.iter().take(LISTED) {
        row("gap", &format!("{gap}, noticed {}", gap.noticed));
    }
    if summary.gaps.len() > LISTED {
        row("gaps", &format!("{} more", summary.gaps.len() - LISTED));
    }
    let mut disk = format!(
        "{}, {} in {}",
        report::bytes(summary.disk_bytes),
        report::counted(summary.blocks, "block"),
        report::counted(summary.segments, "segment")
    );
    if summary.events > 0 {
        // Writing to a string cannot fail.
        let base = summary.base.map_or(0, |base| base.disk_bytes);
        let ratio = report::ratio(summary.disk_bytes.saturating_sub(base), summary.raw_bytes);
        let _ = write!(disk, ", {ratio:.2} of the events' size");
    }
    row("on disk", &disk);
    if let Some((first, last)) = summary.wall_times {
        let millis = u64::try_from(last.as_millis().saturating_sub(first.as_millis())).unwrap_or(0);
        let span = report::duration(Duration::from_millis(millis));
        row("time", &format!("{first} to {last} ({span})"));
    }
    if let Some((first, last)) = summary.cluster_times {
        row("cluster time", &format!("{first} to {last}"));
    }
    if let Some(checkpoint) = &summary.checkpoint {
        match checkpoint.token.cluster_time() {
            Some(time) => row("continues", &format!("after {time} ({})", time.wall_time())),
            None => row("continues", &format!("after token {}", checkpoint.token)),
        }
    } else if let Some(base) = &summary.base {
        row("continues", &format!("after {} ({})", base.time, base.time.wall_time()));
    }
    let source = &metadata.source;
    row("source", &format!("{}, MongoDB {}", deployment(metadata), source.server_version));
    row("recorded by", &format!("{}, since {}", metadata.created_by, metadata.created_at));
    row("updates", &updates(metadata));
    for (name, value) in narrowed(metadata) {
        row(name, &value);
    }

    let operations = summary.operations.iter().map(|(operation, &events)| (operation, events));
    list(&mut text, "operations", operations, summary.other_operations);
    let namespaces = summary.namespaces.iter().map(|(namespace, &events)| (namespace, events));
    list(&mut text, "namespaces", namespaces, summary.other_namespaces);
    text
}

/// A table of counts, the largest first.
pub(crate) fn list<T: Display>(
    text: &mut String,
    title: &str,
    counts: impl Iterator<Item = (T, u64)>,
    beyond: u64,
) {
    let mut counts: Vec<(String, u64)> = counts.map(|(name, n)| (name.to_string(), n)).collect();
    if counts.is_empty() {
        return;
    }
    counts.sort_by(|(a, n), (b, m)| m.cmp(n).then_with(|| a.cmp(b)));
    let rest = counts.split_off(counts.len().min(LISTED));
    let others = beyond + rest.iter().map(|(_, events)| events).sum::<u64>();
    let width = counts.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    // Writing to a string cannot fail.
    let _ = writeln!(text, "  {title}");
    for (name, events) in &counts {
        let _ = writeln!(text, "    {name:width$} {:>12}", report::count(*events));
    }
    if others > 0 {
        let _ = writeln!(text, "    {:width$} {:>12}", "others", report::count(others));
    }
}

fn deployment(metadata: &Metadata) -> String {
    let source = &metadata.source;
    match source.replica_set_id {
        Some(id) => format!("{} ({id})", source.replica_set),
        None => source.replica_set.clone(),
    }
}

fn updates(metadata: &Metadata) -> &'static str {
    match metadata.stream.updates {
        UpdateForm::Raw => "raw",
        UpdateForm::Public => "public",
    }
}

/// The user's own stages, as people write them: relaxed Extended JSON.
fn stages(metadata: &Metadata) -> Value {
    let stage = |stage: &RawDocumentBuf| match Document::try_from(stage.as_ref()) {
        Ok(stage) => Bson::Document(stage).into_relaxed_extjson(),
        // Bytes that are no document; no server has run them.
        Err(_) => Value::Null,
    };
    metadata.stream.pipeline.iter().map(stage).collect()
}

/// What narrows or widens the recording, where anything does.
fn narrowed(metadata: &Metadata) -> Vec<(&'static str, String)> {
    fn all<T: Display>(items: &[T]) -> Option<String> {
        let items: Vec<String> = items.iter().map(T::to_string).collect();
        (!items.is_empty()).then(|| items.join(", "))
    }
    let stream = &metadata.stream;
    let pipeline = (!stream.pipeline.is_empty()).then(|| stages(metadata).to_string());
    let rows = [
        ("include", all(&stream.filter.include)),
        ("exclude", all(&stream.filter.exclude)),
        ("only", all(&stream.operations)),
        ("pipeline", pipeline),
        ("fullDocument", stream.full_document.clone()),
        ("before change", stream.full_document_before_change.clone()),
    ];
    rows.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// What of a tape its reader does not see, in words.
pub(crate) fn unseen(tail: &Tail) -> Option<String> {
    match tail {
        Tail::Nothing => None,
        Tail::BeingRecorded(holder) => {
            Some(format!("what is being recorded just now and not sealed yet ({holder})"))
        }
        Tail::NotSealed => Some(
            "what a killed recorder left, which this user may not seal: run `changetape info` as \
             the user who owns the tape"
                .to_owned(),
        ),
    }
}

/// A gap for programs.
pub(crate) fn gap_json(gap: &Gap) -> Value {
    let edge = |edge: &Edge| {
        json!({
            "token": edge.token.as_ref().map(ToString::to_string),
            "clusterTime": edge.time.map(|time| time.to_string()),
        })
    };
    json!({
        "seq": gap.at.get(),
        "missingSeqs": gap.places,
        "cause": gap.cause.as_str(),
        "before": edge(&gap.before),
        "after": edge(&gap.after),
        "noticed": gap.noticed.to_string(),
    })
}

fn json(path: &Path, tape: &TapeReader, summary: &Summary) -> Value {
    let metadata = tape.metadata();
    let (source, stream) = (&metadata.source, &metadata.stream);
    let texts = |items: Vec<String>| Value::from(items);
    let extent = |extent: Option<(String, String)>| {
        extent.map(|(first, last)| json!({"first": first, "last": last}))
    };
    let pair = |(first, last): (&dyn Display, &dyn Display)| (first.to_string(), last.to_string());
    json!({
        "tape": path.display().to_string(),
        "events": summary.events,
        "startSeq": summary.start.get(),
        "endSeq": summary.end.get(),
        "beingRecorded": matches!(tape.tail(), Tail::BeingRecorded(_)),
        "gaps": summary.gaps.iter().map(gap_json).collect::<Vec<_>>(),
        "dropped": summary.dropped.map(|dropped| json!({
            "endSeq": dropped.end.get(),
            "events": dropped.events,
            "segments": dropped.segments,
            "bytes": dropped.bytes,
            "arrived": dropped.arrived.to_string(),
            "at": dropped.at.to_string(),
        })),
        "base": summary.base.as_ref().map(report::base_json),
        "segments": summary.segments,
        "blocks": summary.blocks,
        "bytes": summary.raw_bytes,
        "tapeBytes": summary.disk_bytes,
        "wallTime": extent(summary.wall_times.map(|(a, b)| pair((&a, &b)))),
        "clusterTime": extent(summary.cluster_times.map(|(a, b)| pair((&a, &b)))),
        "arrivalNanos": summary.arrivals.map(|(first, last)| {
            json!({"first": first.wall_nanos, "last": last.wall_nanos})
        }),
        "checkpoint": summary.checkpoint.as_ref().map(|checkpoint| {
            json!({"token": checkpoint.token.to_string(), "nextSeq": checkpoint.next.get()})
        }),
        "source": {
            "replicaSet": source.replica_set,
            "replicaSetId": source.replica_set_id.map(|id| id.to_string()),
            "serverVersion": source.server_version,
        },
        "createdBy": metadata.created_by,
        "createdAt": metadata.created_at.to_string(),
        "stream": {
            "include": texts(stream.filter.include.iter().map(ToString::to_string).collect()),
            "exclude": texts(stream.filter.exclude.iter().map(ToString::to_string).collect()),
            "operations": texts(stream.operations.iter().map(ToString::to_string).collect()),
            "pipeline": stages(metadata),
            "updates": updates(metadata),
            "fullDocument": stream.full_document,
            "fullDocumentBeforeChange": stream.full_document_before_change,
        },
        "operations": counts(summary.operations.iter()),
        "otherOperations": summary.other_operations,
        "namespaces": counts(summary.namespaces.iter()),
        "otherNamespaces": summary.other_namespaces,
    })
}

/// A table of counts for programs.
pub(crate) fn counts<'a, T: Display + 'a>(counts: impl Iterator<Item = (&'a T, &'a u64)>) -> Value {
    counts.map(|(name, &events)| (name.to_string(), Value::from(events))).collect()
}
