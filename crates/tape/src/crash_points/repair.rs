//! Repairs that fail or are killed: wherever that was, the next repair keeps all that could be read,
//! notes what is lost once, and leaves a sound tape.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use bson::raw::{RawDocument, RawDocumentBuf};
use changetape_core::Seq;

use super::{CALL, child, in_memory_dir};
use crate::block::{Header, MAGIC};
use crate::disk::seam::{At, Failure, Script, Then};
use crate::segment::TOTALS_MAGIC;
use crate::{
    Batch, Gap, GapCause, TapeOptions, TapeReader, TapeWriter, layout, repair, samples, verify,
};

const REPAIR: &str = "CHANGETAPE_TEST_CRASH_REPAIR";

/// So much of text in an event that two events fill a block.
const LONG: usize = 100_000;

/// The events of each block: those of two segments, then those of the live end.
const SEGMENTS: [[u64; 3]; 2] = [[0, 2, 4], [5, 7, 9]];
const LIVE: [u64; 3] = [10, 13, 15];
const END: u64 = 16;

/// Before this event there is a gap that was recorded.
const GAP_AT: u64 = 5;

/// What is damaged.
#[derive(Debug, Clone, Copy)]
enum Hit {
    /// The block that begins with an event.
    Block(u64),
    /// The footer of a segment.
    Footer(usize),
    /// The totals of a segment, which tell of its gap.
    Totals(usize),
    /// The catalog is gone.
    Catalog,
    /// What is not sealed is gone, and that there was any.
    Live,
}

/// A tape's files: path in the tape, content.
type Image = BTreeMap<String, Vec<u8>>;

const HITS: [&[Hit]; 15] = [
    &[Hit::Block(2)],
    &[Hit::Block(9)],
    &[Hit::Block(13)],
    &[Hit::Footer(0)],
    &[Hit::Footer(1)],
    &[Hit::Catalog],
    &[Hit::Catalog, Hit::Block(2)],
    &[Hit::Catalog, Hit::Footer(0)],
    &[Hit::Catalog, Hit::Footer(1)],
    &[Hit::Totals(1)],
    &[Hit::Catalog, Hit::Totals(1)],
    &[Hit::Catalog, Hit::Footer(1), Hit::Block(9)],
    &[Hit::Catalog, Hit::Footer(1), Hit::Live],
    &[Hit::Catalog, Hit::Totals(1), Hit::Block(9), Hit::Live],
    &[Hit::Block(0), Hit::Footer(1), Hit::Block(13)],
];

fn event(n: u64) -> RawDocumentBuf {
    let mut event = samples::event(n);
    event.append(bson::cstr!("pad"), "x".repeat(LONG));
    event
}

fn append(writer: &mut TapeWriter, places: Range<u64>) {
    let events: Vec<_> = places.clone().map(event).collect();
    let events: Vec<&RawDocument> = events.iter().map(AsRef::as_ref).collect();
    let token = samples::token(places.end);
    let arrival = samples::arrival(places.start);
    let batch = Batch { events: &events, token: &token, arrival };
    if places.start == GAP_AT {
        writer.append_behind(samples::gap(GAP_AT), &batch).unwrap();
    } else {
        writer.append(&batch).unwrap();
    }
}

/// The places of a block.
fn block_of(first: u64) -> Range<u64> {
    let firsts = SEGMENTS.iter().flatten().chain(&LIVE).copied().chain([END]);
    first..firsts.filter(|next| *next > first).min().unwrap()
}

/// A tape that was not closed: what is on disk while its writer lives.
fn image() -> Image {
    let dir = in_memory_dir();
    let path = dir.path().join("orders.tape");
    let options = TapeOptions { segment_size: 1, ..TapeOptions::default() };
    options.create(&path, samples::metadata()).unwrap().close().unwrap();
    for places in [0..GAP_AT, GAP_AT..LIVE[0]] {
        let mut writer = options.open(&path).unwrap();
        append(&mut writer, places);
        writer.close().unwrap();
    }
    let mut writer = TapeWriter::open(&path).unwrap();
    for first in LIVE {
        append(&mut writer, block_of(first));
    }
    samples::image(&path)
}

/// Flips a bit in each copy of the block that begins with an event.
fn flip_block(image: &mut Image, first: u64) {
    let mut hits = 0;
    for bytes in image.values_mut() {
        let begins = |at: &usize| bytes[*at..].starts_with(&MAGIC);
        let places: Vec<usize> = (0..bytes.len()).filter(begins).collect();
        for at in places {
            let header = Header::decode(&bytes[at..]);
            if let Some(header) = header.ok().filter(|header| header.first == Seq::new(first)) {
                assert_eq!(header.end(), Seq::new(block_of(first).end));
                bytes[at + header.block_len() - 3] ^= 4;
                hits += 1;
            }
        }
    }
    assert!(hits > 0, "no block begins with {first}");
}

/// The places that gaps take.
fn places(gaps: &[Gap]) -> Vec<Range<u64>> {
    gaps.iter().map(|gap| gap.first().get()..gap.at.get()).collect()
}

/// A damaged tape, and what a repair leaves of it.
struct Damaged {
    image: Image,
    lost: Vec<Range<u64>>,
    end: u64,
    /// The gap that was recorded.
    gap: Option<Gap>,
}

impl Damaged {
    fn by(hits: &[Hit]) -> Self {
        let mut image = image();
        let names = |end: &str, image: &Image| -> Vec<String> {
            image.keys().filter(|name| name.ends_with(end)).cloned().collect()
        };
        let segments = names(".seg", &image);
        assert_eq!(segments.len(), SEGMENTS.len());
        let (mut lost, mut end, mut gap) = (Vec::new(), END, Some(samples::gap(GAP_AT)));
        for hit in hits {
            match *hit {
                Hit::Block(first) => {
                    flip_block(&mut image, first);
                    lost.push(block_of(first));
                }
                Hit::Footer(n) => {
                    let bytes = image.get_mut(&segments[n]).unwrap();
                    let at = bytes.len() - 3;
                    bytes[at] ^= 4;
                }
                Hit::Totals(n) => {
                    let bytes = image.get_mut(&segments[n]).unwrap();
                    let magic = |part: &[u8]| part == TOTALS_MAGIC;
                    let at = bytes.windows(TOTALS_MAGIC.len()).rposition(magic).unwrap();
                    bytes[at + 20] ^= 4;
                    if !image.contains_key("catalog") {
                        // That is where the gap was noted, and the only other place.
                        lost.push(GAP_AT..GAP_AT);
                        gap = None;
                    }
                }
                Hit::Catalog => drop(image.remove("catalog").unwrap()),
                Hit::Live => {
                    image.retain(|name, _| !name.starts_with("log/") && name != "durable");
                    end = LIVE[0];
                }
            }
        }
        if let Some(last) = lost.pop_if(|last| end == LIVE[0] && last.end == end) {
            // Nothing says how the recording went on behind it.
            end = last.start;
        }
        Self { image, lost, end, gap }
    }

    /// Repairs a tape to the end, and checks what is left of it; which gaps the repair told of.
    fn check(&self, path: &Path, case: &str) -> Vec<Range<u64>> {
        let repaired = repair(path, &mut |_, _| ());
        let repaired = repaired.unwrap_or_else(|error| panic!("{case}: {error}"));
        assert_eq!(verify(path, &mut |_, _| ()).unwrap().damages, [], "{case}");
        let reader = TapeReader::open(path).unwrap();
        let mut kept = Vec::new();
        for block in reader.blocks(Seq::ZERO) {
            for recorded in block.unwrap().events() {
                let n = recorded.seq.get();
                assert_eq!(recorded.event.as_bytes(), event(n).as_bytes(), "{case}: {n}");
                kept.push(n);
            }
        }
        let is_lost = |n: &u64| self.lost.iter().any(|lost| lost.contains(n));
        let expected: Vec<u64> = (0..self.end).filter(|n| !is_lost(n)).collect();
        assert_eq!(kept, expected, "{case}");
        let (of_damage, recorded): (Vec<_>, Vec<_>) =
            reader.gaps().into_iter().partition(|gap| gap.cause == GapCause::Damaged);
        let expected = (self.lost.clone(), Vec::from_iter(self.gap.clone()));
        assert_eq!((places(&of_damage), recorded), expected, "{case}");
        let checkpoint = reader.checkpoint().unwrap();
        // Within what was one batch, the token is the last event's own.
        let token = if [LIVE[0], END].contains(&self.end) { self.end } else { self.end - 1 };
        let expected = (Seq::new(self.end), samples::token(token));
        assert_eq!((checkpoint.next, checkpoint.token), expected, "{case}");
        places(&repaired.gaps)
    }

    /// Puts it in a directory of its own.
    fn put(&self) -> (tempfile::TempDir, PathBuf) {
        let dir = in_memory_dir();
        let path = dir.path().join("orders.tape");
        for (name, bytes) in &self.image {
            let file = path.join(name);
            std::fs::create_dir_all(layout::parent(&file)).unwrap();
            std::fs::write(file, bytes).unwrap();
        }
        (dir, path)
    }

    /// How many calls its repair makes.
    fn calls(&self, case: &str) -> usize {
        let (dir, path) = self.put();
        let script = Script::notes(dir.path());
        assert_eq!(self.check(&path, case), self.lost, "{case}");
        let calls = script.calls().len();
        assert!(calls > 10, "{case}: {calls} calls");
        calls
    }
}

#[test]
fn whichever_call_of_a_repair_fails_the_next_one_keeps_all_that_could_be_read() {
    let ways = Failure::ALL.into_iter().flat_map(|how| [Then::Fail(how), Then::FailOn(how)]);
    for hits in HITS {
        let damaged = Damaged::by(hits);
        let calls = damaged.calls(&format!("{hits:?}"));
        for (then, call) in ways.clone().flat_map(|then| (0..calls).map(move |call| (then, call))) {
            let (dir, path) = damaged.put();
            let script = Script::at(dir.path(), At::Any(call), then);
            let result = repair(&path, &mut |_, _| ());
            drop(script);
            let case = format!("{hits:?}, call {call}: {then:?}, {result:?}");
            assert!(result.is_err(), "{case}");
            damaged.check(&path, &case);
        }
    }
}

/// What the child does; nothing when this runs as an ordinary test.
#[test]
fn repairing_child() {
    let (Ok(tape), Ok(call)) = (std::env::var(REPAIR), std::env::var(CALL)) else { return };
    let path = Path::new(&tape);
    let call = At::Any(call.parse().unwrap());
    let _script = Script::at(layout::parent(path), call, Then::Abort);
    repair(path, &mut |_, _| ()).unwrap();
}

#[test]
fn at_whichever_call_a_repair_is_killed_the_next_one_keeps_all_that_could_be_read() {
    for hits in HITS {
        let damaged = Damaged::by(hits);
        for call in 0..damaged.calls(&format!("{hits:?}")) {
            let (_dir, path) = damaged.put();
            let env = [(REPAIR, path.to_str().unwrap()), (CALL, &call.to_string())];
            let ended = child("crash_points::repair::repairing_child", &env);
            let case = format!("{hits:?}, killed at call {call}");
            assert!(!ended.status.success(), "{case}");
            damaged.check(&path, &case);
        }
    }
}
