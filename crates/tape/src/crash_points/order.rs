//! What comes before what, in the calls of a recording: nothing is acknowledged before all it needs
//! is synced, and nothing is removed before what takes its place is.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bson::raw::{RawDocument, RawDocumentBuf};
use changetape_core::Seq;

use super::in_memory_dir;
use super::script::{BATCHES, Sessions, record};
use crate::disk::seam::{Call, Script};
use crate::layout::{self, LogNumber};
use crate::log::SEGMENT_SIZE;
use crate::{Batch, Durability, TapeOptions, TapeWriter, samples};

/// Longer than any test takes.
const LONG: Duration = Duration::from_secs(1_000_000);

type Calls = [(Call, PathBuf)];

/// The calls of the whole script, and the tape's path.
fn calls(sessions: Sessions) -> (Vec<(Call, PathBuf)>, PathBuf) {
    let dir = in_memory_dir();
    let path = dir.path().join("orders.tape");
    let script = Script::notes(dir.path());
    record(&path, sessions, &mut |_| ()).unwrap();
    (script.calls(), path)
}

#[test]
fn nothing_is_acknowledged_before_all_it_needs_is_synced() {
    let (calls, _) = calls(Sessions::Long);
    let acknowledged = calls.iter().filter(|(call, _)| *call == Call::Acknowledge).count();
    assert_eq!(acknowledged, BATCHES.len());
    // What the writer's own thread did since the last acknowledgement; sealing is beside it.
    let mut applied = None;
    let mut flushed = false;
    let mut synced = false;
    let mut named = BTreeSet::new();
    for (call, path) in &calls {
        match call {
            Call::CreateDir => drop(named.insert(path.clone())),
            Call::SyncDir => named.retain(|made| made.parent() != Some(path)),
            Call::Apply => (applied, flushed, synced) = (Some(path.clone()), false, false),
            Call::Flush => flushed = applied.as_ref() == Some(path),
            Call::Sync if applied.as_ref().map(|log| log.join("db")).as_ref() == Some(path) => {
                synced = flushed;
            }
            Call::Write if path.ends_with("durable") && applied.is_some() => {
                assert!(synced, "said to be durable before it was synced");
            }
            Call::Acknowledge => {
                let log = applied.take().expect("something was applied");
                assert!(flushed && synced, "not synced: {calls:?}");
                assert!(!named.contains(&log), "the name of {} is not durable", log.display());
            }
            _ => {}
        }
    }
}

/// An event that sled keeps out of line: larger than a quarter of its segment, and compressed no
/// less.
fn large_event(n: u64) -> RawDocumentBuf {
    let mut random = fastrand::Rng::with_seed(n);
    let bytes: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(SEGMENT_SIZE / 2).collect();
    let mut event = samples::event(n);
    let bytes = bson::Binary { subtype: bson::spec::BinarySubtype::Generic, bytes };
    event.append(bson::cstr!("large"), bytes);
    event
}

fn append(writer: &mut TapeWriter, first: u64, events: &[&RawDocument]) {
    let token = samples::token(first + events.len() as u64);
    writer.append(&Batch { events, token: &token, arrival: samples::arrival(first) }).unwrap();
}

/// The files that sled keeps out of line.
fn blobs(log: &Path) -> BTreeSet<PathBuf> {
    let entries = std::fs::read_dir(log.join(layout::BLOBS)).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// Where a call first is, from some place on.
#[track_caller]
fn find(calls: &Calls, from: usize, sought: Call, path: &Path) -> usize {
    let found = calls.iter().skip(from).position(|(call, at)| *call == sought && at == path);
    from + found.unwrap_or_else(|| panic!("no {sought:?} of {} in {calls:?}", path.display()))
}

/// Checks that the calls from some place on make durable what was applied before, with these new
/// files beside the log's own, and then acknowledge it.
fn check_synced(calls: &Calls, from: usize, log: &Path, new: &BTreeSet<PathBuf>) {
    let flush = find(calls, from, Call::Flush, log);
    for blob in new {
        let synced = find(calls, from, Call::Sync, blob);
        let named = find(calls, synced, Call::SyncDir, &log.join(layout::BLOBS));
        assert!(named < flush, "{} is missing if the power goes", blob.display());
    }
    let synced = find(calls, flush, Call::Sync, &log.join(layout::DB));
    let tape = layout::parent(layout::parent(log));
    let said = find(calls, synced, Call::Write, &tape.join(layout::DURABLE));
    find(calls, said, Call::Acknowledge, tape);
    let is_early = |(call, _): &(Call, PathBuf)| *call == Call::Acknowledge;
    assert!(!calls[from..said].iter().any(is_early), "acknowledged before it is durable");
}

#[test]
fn what_is_kept_out_of_line_is_synced_before_what_refers_to_it() {
    let dir = in_memory_dir();
    let path = dir.path().join("orders.tape");
    let options = TapeOptions { seal_after: LONG, ..TapeOptions::default() };
    let mut writer = options.create(&path, samples::metadata()).unwrap();
    let log = layout::log(&path, LogNumber::FIRST);
    let script = Script::notes(dir.path());
    let (mut known, mut some) = (blobs(&log), 0);
    for n in 0..6 {
        let before = script.calls().len();
        let event = if n % 2 == 0 { large_event(n) } else { samples::event(n) };
        append(&mut writer, n, &[&event]);
        let now = blobs(&log);
        let new: BTreeSet<PathBuf> = now.difference(&known).cloned().collect();
        check_synced(&script.calls(), before, &log, &new);
        some += new.len();
        known = now;
    }
    assert!(some >= 3, "{some} files out of line");
    writer.close().unwrap();
}

#[test]
fn with_an_interval_nothing_is_acknowledged_until_it_is_synced() {
    let dir = in_memory_dir();
    let path = dir.path().join("orders.tape");
    let durability = Durability::Interval(LONG);
    let options = TapeOptions { durability, seal_after: LONG, ..TapeOptions::default() };
    let mut writer = options.create(&path, samples::metadata()).unwrap();
    let log = layout::log(&path, LogNumber::FIRST);
    let script = Script::notes(dir.path());
    let mut next = 0;
    for _ in 0..3 {
        let (known, before, durable) = (blobs(&log), script.calls().len(), writer.checkpoint());
        for large in [false, true, false] {
            let event = if large { large_event(next) } else { samples::event(next) };
            append(&mut writer, next, &[&event]);
            next += 1;
        }
        let applied = script.calls()[before..].to_vec();
        let other =
            applied.iter().find(|(call, _)| matches!(call, Call::Flush | Call::Acknowledge));
        assert_eq!((other, writer.checkpoint()), (None, durable));
        writer.sync().unwrap();
        assert_eq!(writer.checkpoint().unwrap().next, Seq::new(next));
        let new: BTreeSet<PathBuf> = blobs(&log).difference(&known).cloned().collect();
        assert!(!new.is_empty());
        check_synced(&script.calls(), before + applied.len(), &log, &new);
    }
    writer.close().unwrap();
}

/// Checks that a file was written, synced and made a segment, and the catalog that lists it was
/// written and synced, all between two places.
fn check_listed(calls: &Calls, unfinished: &Path, (from, until): (usize, usize)) {
    let segments = layout::parent(unfinished);
    let catalog = layout::parent(segments).join(layout::CATALOG);
    let is_written = |(call, path): &(Call, PathBuf)| *call == Call::Write && path == unfinished;
    let written = calls[from..until].iter().rposition(is_written).expect("it was written");
    let synced = find(calls, from + written, Call::Sync, unfinished);
    let is_segment = |path: &Path| path.extension().is_some_and(|end| end == layout::SEALED);
    let renamed = |(call, path): &(Call, PathBuf)| *call == Call::Rename && is_segment(path);
    let renamed = calls[synced..until].iter().position(renamed);
    let renamed = synced + renamed.expect("a segment is not synced before it has its name");
    let named = find(calls, renamed, Call::SyncDir, segments);
    let new = catalog.with_extension("new");
    let listed = find(calls, renamed, Call::Write, &new);
    assert!(named < listed, "a segment is listed whose name is not durable");
    let synced = find(calls, listed, Call::Sync, &new);
    let replaced = find(calls, listed, Call::Rename, &catalog);
    assert!(synced < replaced, "a catalog is not synced before it has its name");
    let named = find(calls, replaced, Call::SyncDir, layout::parent(segments));
    assert!(named < until, "it is removed before the catalog that lists the segment is durable");
}

#[test]
fn a_log_is_removed_after_its_segment_and_the_catalog_that_lists_it_are_durable() {
    let (calls, path) = calls(Sessions::Long);
    let mut sealed = 0;
    for (at, (call, log)) in calls.iter().enumerate() {
        if *call != Call::Remove || layout::parent(log) != path.join(layout::LOG) {
            continue;
        }
        let flush = |(call, path): &(Call, PathBuf)| *call == Call::Flush && path == log;
        let made = |(call, path): &(Call, PathBuf)| *call == Call::CreateDir && path == log;
        // Numbers begin again with each recording.
        let begun = calls[..at].iter().rposition(made).expect("it was made");
        // What nothing was written to is only removed.
        let Some(last) = calls[begun..at].iter().rposition(flush) else { continue };
        let name = log.file_name().unwrap().to_str().unwrap();
        let number = LogNumber(name.parse().unwrap());
        let unfinished = layout::unfinished_segment(&path, number);
        check_listed(&calls, &unfinished, (begun + last, at));
        sealed += 1;
    }
    // At least the last one of each session.
    assert!(sealed >= 2, "{sealed} logs were sealed");
}

#[test]
fn segments_are_removed_after_the_one_and_the_catalog_that_take_their_place_are_durable() {
    let (calls, path) = calls(Sessions::Short);
    let merge = layout::unfinished_merge(&path);
    let mut merged = 0;
    for (at, (call, segment)) in calls.iter().enumerate() {
        if *call != Call::Remove || segment.extension() != Some(layout::SEALED.as_ref()) {
            continue;
        }
        let begun = |(call, path): &(Call, PathBuf)| *call == Call::Create && *path == merge;
        let begun = calls[..at].iter().rposition(begun).expect("nothing else removes one here");
        check_listed(&calls, &merge, (begun, at));
        merged += 1;
    }
    assert!(merged >= 4, "{merged} segments were merged");
}
