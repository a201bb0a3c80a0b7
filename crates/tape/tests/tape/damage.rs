//! Goal: whatever happens to a closed tape's files is noticed and named, costs only the events
//! that were hit, and changes nothing more on disk; repairing keeps every event that was not,
//! and says what is gone.
//! Method: a small tape of a few segments with a gap in it; every byte of every file flipped in
//! turn (one random bit of it), every file cut at every length and removed; each time the tape
//! is verified and read, and some of the times repaired, verified and read again. Some of the
//! same for a tape whose segments have several blocks. The seed is printed.

use std::collections::BTreeSet;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use bson::raw::RawDocumentBuf;
use changetape_core::{ChangeEvent, Seq};
use changetape_tape::{
    Block, Checkpoint, Damage, Error, Gap, GapCause, Metadata, Summary, TapeReader, TapeWriter,
    Verified, repair, verify,
};

use crate::image::{Image, Placed};
use crate::samples;

/// Before this event there is a gap.
const GAP_AT: u64 = 4;

/// The events of each segment.
const SEGMENTS: [Range<u64>; 4] = [0..2, 2..GAP_AT, GAP_AT..7, 7..END];

const END: u64 = 9;

/// Of so many damaged tapes one is repaired: repairing takes longest.
const REPAIRED: u8 = 8;

/// So much of text in an event that two events fill a block.
const LONG: usize = 100_000;

fn event(n: u64, pad: usize) -> RawDocumentBuf {
    let mut event = samples::event(n);
    if pad > 0 {
        event.append(bson::cstr!("pad"), "x".repeat(pad));
    }
    event
}

/// Events that cannot be read, by place.
type Lost = BTreeSet<u64>;

/// A closed tape, and where its events are.
struct Sound {
    /// How much is added to each event.
    pad: usize,
    dir: tempfile::TempDir,
    image: Image,
    blocks: Vec<Placed>,
    summary: Summary,
}

impl Sound {
    /// A tape whose segments have one block each.
    fn of_small_blocks() -> Self {
        let sound = Self::new(0, &SEGMENTS);
        assert_eq!(sound.blocks.len(), SEGMENTS.len());
        sound
    }

    /// A tape whose segments have several blocks.
    fn of_several_blocks() -> Self {
        let sound = Self::new(LONG, &[0..GAP_AT, GAP_AT..END]);
        assert_eq!(sound.blocks.len(), 5);
        sound
    }

    fn new(pad: usize, segments: &[Range<u64>]) -> Self {
        let dir = samples::in_memory_dir();
        let path = dir.path().join("orders.tape");
        let options = samples::of_size(1);
        options.create(&path, samples::metadata()).unwrap().close().unwrap();
        for places in segments {
            let mut writer = options.open(&path).unwrap();
            if places.start == GAP_AT {
                samples::append_gap(&mut writer, samples::gap(2), &samples::token(GAP_AT)).unwrap();
            }
            let events: Vec<_> = places.clone().map(|n| event(n, pad)).collect();
            samples::append_events(&mut writer, places.start, &events).unwrap();
            writer.close().unwrap();
        }
        let image = Image::of(&path);
        let names = image.names("segments/");
        assert_eq!(names.len(), segments.len());
        let blocks: Vec<Placed> = names.iter().flat_map(|name| image.blocks(name)).collect();
        let summary = TapeReader::open(&path).unwrap().summary().unwrap();
        Self { pad, dir, image, blocks, summary }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("orders.tape")
    }

    /// The events whose blocks lie where some of a file's bytes were hit.
    fn hit(&self, file: &str, bytes: &Range<usize>) -> Lost {
        let hit = |placed: &&Placed| {
            placed.file == file && placed.bytes.start < bytes.end && bytes.start < placed.bytes.end
        };
        self.blocks.iter().filter(hit).flat_map(|placed| placed.events.clone()).collect()
    }

    /// Everything that is asked of one damaged tape. `file` was damaged, and with it these
    /// events were lost.
    fn check(&self, damaged: &Image, file: &str, lost: &Lost, case: &str) {
        self.check_noticed(damaged, file, lost, case);
        let path = self.path();
        let repaired = repair(&path, &mut |_, _| ()).unwrap_or_else(|e| panic!("{case}: {e}"));
        assert!(!repaired.damages.is_empty(), "{case}");
        assert!(lost.is_subset(&named(&repaired.damages)), "{case}: {:?}", repaired.damages);
        let gone: u64 = repaired.gaps.iter().map(|gap| gap.places).sum();
        assert_eq!(gone, lost.len() as u64, "{case}: {:?}", repaired.gaps);
        self.check_repaired(&path, lost, case);
    }

    /// What is asked of it before it is repaired.
    fn check_noticed(&self, damaged: &Image, file: &str, lost: &Lost, case: &str) {
        let path = self.path();
        damaged.restore(&path);
        let verified = verify(&path, &mut |_, _| ()).unwrap();
        assert!(!verified.damages.is_empty(), "{case}: nothing was noticed");
        let names_file = verified.damages.iter().any(|damage| damage.what.contains(file));
        assert!(names_file, "{case}: {:?}", verified.damages);
        assert!(lost.is_subset(&named(&verified.damages)), "{case}: {:?}", verified.damages);
        self.read_damaged(&path, case);
        assert!(*damaged == Image::of(&path), "{case}: something was changed on disk");
    }

    /// What a damaged tape gives is right, or an error.
    fn read_damaged(&self, path: &Path, case: &str) {
        let reader = match TapeReader::open(path) {
            Ok(reader) => reader,
            Err(error) => return is_damage(&error, path, case),
        };
        let mut next = 0;
        for block in reader.blocks(Seq::ZERO) {
            match block {
                Ok(block) => next = self.read_on(&block, next, case),
                Err(error) => {
                    is_damage(&error, path, case);
                    next = END;
                }
            }
        }
        assert_eq!(next, END, "{case}: events are missing in silence");
        match reader.summary() {
            Ok(summary) => assert_eq!(counted(summary), counted(self.summary.clone()), "{case}"),
            Err(error) => is_damage(&error, path, case),
        }
    }

    /// Checks a block of a tape whose next event is at a place; where it ends.
    fn read_on(&self, block: &Block, mut next: u64, case: &str) -> u64 {
        for recorded in block.events() {
            let expected = event(next, self.pad);
            assert_eq!(recorded.seq.get(), next, "{case}");
            assert_eq!(recorded.event.as_bytes(), expected.as_bytes(), "{case}: event {next}");
            next += 1;
        }
        next
    }

    /// Checks that a repaired tape holds everything but what was lost, and says so.
    fn check_repaired(&self, path: &Path, lost: &Lost, case: &str) {
        let Verified { damages, events, .. } = verify(path, &mut |_, _| ()).unwrap();
        assert_eq!(damages, [], "{case}: after the repair");
        assert_eq!(events, END - lost.len() as u64, "{case}");
        let reader = TapeReader::open(path).unwrap_or_else(|error| panic!("{case}: {error}"));
        assert_eq!(reader.metadata(), &samples::metadata(), "{case}");
        let mut left: Vec<u64> = (0..END).filter(|n| !lost.contains(n)).rev().collect();
        for block in reader.blocks(Seq::ZERO) {
            for recorded in block.unwrap_or_else(|error| panic!("{case}: {error}")).events() {
                let n = left.pop().unwrap_or(END);
                assert_eq!(recorded.seq.get(), n, "{case}");
                assert_eq!(recorded.event.as_bytes(), event(n, self.pad).as_bytes(), "{case}: {n}");
            }
        }
        assert_eq!(left, [0; 0], "{case}: not kept");
        let (mut told, mut noticed) = (Lost::new(), 0);
        for gap in reader.gaps() {
            match gap.cause {
                GapCause::Damaged => {
                    told.extend(gap.at.get() - gap.places..gap.at.get());
                    self.check_edges(&gap, lost, &reader.checkpoint().unwrap(), case);
                }
                _ => noticed += u64::from((gap.at.get(), gap.places) == (GAP_AT, 0)),
            }
        }
        assert_eq!((&told, noticed), (lost, 1), "{case}: {:?}", reader.gaps());
        let summary = reader.summary().unwrap_or_else(|error| panic!("{case}: {error}"));
        assert_eq!(summary.events, END - lost.len() as u64, "{case}");
    }

    /// Checks that a gap says what lies on either side of it, or did before more was lost.
    fn check_edges(&self, gap: &Gap, lost: &Lost, end: &Checkpoint, case: &str) {
        let (first, at) = (gap.at.get() - gap.places, gap.at.get());
        let own = |n| ChangeEvent::from(event(n, self.pad).as_ref()).token().unwrap();
        let case = format!("{case}: {gap:?}");
        let kept = (0..first).rfind(|n| !lost.contains(n));
        let before = kept.into_iter().flat_map(|kept| kept..first);
        let mut before = before.flat_map(|n| [own(n), samples::token(n + 1)]);
        let told = gap.before.token.as_ref();
        assert!(kept.is_none() || before.any(|token| told == Some(&token)), "{case}");
        let next = (at..END).find(|n| !lost.contains(n));
        let mut behind = (at..END).take_while(|n| next.is_none_or(|next| *n <= next)).map(own);
        let after = gap.after.token.as_ref().unwrap();
        let is_end = next.is_none() && *after == end.token;
        assert!(is_end || behind.any(|token| token == *after), "{case}");
        assert_eq!(gap.after.time, after.cluster_time(), "{case}");
    }
}

fn is_damage(error: &Error, path: &Path, case: &str) {
    let text = error.to_string();
    assert!(matches!(error, Error::Damaged { .. }), "{case}: {text}");
    let start = format!("{} is damaged: ", path.display());
    assert!(text.starts_with(&start) && text.contains("nothing was changed"), "{case}: {text}");
}

/// What is counted in a summary.
fn counted(summary: Summary) -> Summary {
    Summary { disk_bytes: 0, ..summary }
}

/// The events that findings name.
fn named(damages: &[Damage]) -> Lost {
    let ranges = damages.iter().filter_map(|damage| damage.events.clone());
    ranges.flat_map(|events| events.start.get()..events.end.get()).collect()
}

#[test]
fn every_flipped_byte_is_noticed_and_named_and_costs_what_it_hit() {
    let sound = Sound::of_small_blocks();
    let mut random = samples::seeded();
    for (file, bytes) in &sound.image.0 {
        for at in 0..bytes.len() {
            let bit = random.u8(0..8);
            let case = format!("bit {bit} of byte {at} of {file}");
            let damaged = sound.image.with(file, |bytes| bytes[at] ^= 1 << bit);
            let lost = sound.hit(file, &(at..at + 1));
            if random.u8(..REPAIRED) == 0 {
                sound.check(&damaged, file, &lost, &case);
            } else {
                sound.check_noticed(&damaged, file, &lost, &case);
            }
        }
    }
}

#[test]
fn every_cut_is_noticed_and_named_and_costs_what_is_gone() {
    let sound = Sound::of_small_blocks();
    let mut random = samples::seeded();
    for (file, bytes) in &sound.image.0 {
        for len in 0..bytes.len() {
            let case = format!("{file} cut to {len}");
            let damaged = sound.image.with(file, |bytes| bytes.truncate(len));
            let lost = sound.hit(file, &(len..bytes.len()));
            if random.u8(..REPAIRED) == 0 {
                sound.check(&damaged, file, &lost, &case);
            } else {
                sound.check_noticed(&damaged, file, &lost, &case);
            }
        }
    }
}

#[test]
fn of_several_blocks_those_that_were_not_hit_are_kept() {
    let sound = Sound::of_several_blocks();
    let mut random = samples::seeded();
    for file in sound.image.names("segments/") {
        let len = sound.image.0[&file].len();
        for _ in 0..25 {
            let at = random.usize(0..len);
            let flipped = sound.image.with(&file, |bytes| bytes[at] ^= 1);
            let lost = sound.hit(&file, &(at..at + 1));
            sound.check(&flipped, &file, &lost, &format!("byte {at} of {file}"));
            let cut = sound.image.with(&file, |bytes| bytes.truncate(at));
            let lost = sound.hit(&file, &(at..len));
            sound.check(&cut, &file, &lost, &format!("{file} cut to {at}"));
        }
    }
}

#[test]
fn every_file_that_is_gone_is_noticed_and_named() {
    let sound = Sound::of_small_blocks();
    for (file, bytes) in &sound.image.0 {
        if file == "durable" {
            continue; // See below.
        }
        let lost = sound.hit(file, &(0..bytes.len()));
        sound.check(&sound.image.without(file), file, &lost, &format!("{file} removed"));
    }
}

#[test]
fn without_its_watermark_a_closed_tape_is_as_it_was() {
    let sound = Sound::of_small_blocks();
    let path = sound.path();
    sound.image.without("durable").restore(&path);
    sound.read_damaged(&path, "durable removed");
    samples::check_sound(&path);
    TapeWriter::open(&path).unwrap().close().unwrap();
    assert_eq!(Image::of(&path).0["durable"], sound.image.0["durable"]);
}

#[test]
fn a_copy_without_empty_directories_is_the_same_tape() {
    let sound = Sound::of_small_blocks();
    let path = sound.path();
    fs::remove_dir(path.join("log")).unwrap();
    sound.read_damaged(&path, "without log/");
    samples::check_sound(&path);
    let mut writer = TapeWriter::open(&path).unwrap();
    samples::append(&mut writer, END..END + 1).unwrap();
    writer.close().unwrap();
}

#[test]
fn what_is_appended_to_a_file_is_noticed() {
    let sound = Sound::of_small_blocks();
    for file in sound.image.0.keys() {
        let longer = sound.image.with(file, |bytes| bytes.push(0));
        sound.check(&longer, file, &Lost::new(), &format!("{file} longer"));
    }
}

#[test]
fn a_repaired_tape_is_recorded_on() {
    let sound = Sound::of_small_blocks();
    let path = sound.path();
    for (file, bytes) in &sound.image.0 {
        let damaged = sound.image.with(file, |bytes| bytes.truncate(bytes.len() / 2));
        let lost = sound.hit(file, &(bytes.len() / 2..bytes.len()));
        damaged.restore(&path);
        repair(&path, &mut |_, _| ()).unwrap();
        let mut writer = TapeWriter::open(&path).unwrap();
        assert_eq!(samples::next_of(&writer), END, "{file}");
        samples::append(&mut writer, END..END + 5).unwrap();
        writer.close().unwrap();
        samples::check_sound(&path);
        let summary = TapeReader::open(&path).unwrap().summary().unwrap();
        assert_eq!(summary.events, END + 5 - lost.len() as u64, "{file}");
    }
}

#[test]
fn several_files_at_once_cost_what_they_held() {
    let sound = Sound::of_small_blocks();
    let segments = sound.image.names("segments/");
    for apart in 1..segments.len() {
        for (one, other) in segments.iter().zip(&segments[apart..]) {
            let damaged = sound.image.without(one).without(other);
            let mut lost = sound.hit(one, &(0..usize::MAX));
            lost.extend(sound.hit(other, &(0..usize::MAX)));
            sound.check(&damaged, one, &lost, &format!("{one} and {other} removed"));
        }
    }
    let damaged = sound.image.without("catalog").without(&segments[1]);
    let lost = sound.hit(&segments[1], &(0..usize::MAX));
    sound.check(&damaged, "catalog", &lost, "the catalog and a segment removed");
}

#[test]
fn a_tape_that_is_damaged_again_is_repaired_again() {
    let sound = Sound::of_small_blocks();
    let path = sound.path();
    sound.image.restore(&path);
    let mut lost = Lost::new();
    let segments = sound.image.names("segments/");
    for file in [1, 2, 0, 3].map(|n| &segments[n]) {
        fs::remove_file(path.join(file)).unwrap();
        lost.extend(sound.hit(file, &(0..usize::MAX)));
        repair(&path, &mut |_, _| ()).unwrap();
        sound.check_repaired(&path, &lost, &format!("{file} removed as well"));
    }
}

#[test]
fn segments_behind_a_damaged_one_are_merged() {
    let dir = samples::in_memory_dir();
    let path = dir.path().join("orders.tape");
    samples::segments_of(&path, [1; 16]);
    let image = Image::of(&path);
    let segment = &image.names("segments/")[2];
    let block = image.blocks(segment)[0].bytes.clone();
    image.with(segment, |bytes| bytes[block.end - 1] ^= 1).restore(&path);
    samples::of_size(1 << 20).open(&path).unwrap().close().unwrap();
    assert_eq!(TapeReader::open(&path).unwrap().summary().unwrap().segments, 4);
    let damages = verify(&path, &mut |_, _| ()).unwrap().damages;
    assert_eq!(named(&damages), [2].into());
}

#[test]
fn what_was_damaged_is_kept_beside() {
    let sound = Sound::of_small_blocks();
    let path = sound.path();
    let file = &sound.image.names("segments/")[1];
    let damaged = sound.image.with(file, |bytes| bytes[60] ^= 1);
    damaged.restore(&path);
    repair(&path, &mut |_, _| ()).unwrap();
    let kept = path.join(file).with_extension("damaged");
    assert_eq!(fs::read(kept).unwrap(), damaged.0[file]);
}

#[test]
fn a_tape_without_a_sound_file_that_tells_its_metadata_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("orders.tape");
    samples::tape_of(&path, []).close().unwrap();
    fs::write(path.join("metadata"), "x").unwrap();
    let before = Image::of(&path);
    let error = repair(&path, &mut |_, _| ()).unwrap_err();
    assert!(error.to_string().contains("no segment repeats it"), "{error}");
    assert_eq!(Image::of(&path), before);
    assert!(Metadata::read(&path).is_err());
}

#[test]
fn a_tape_of_a_newer_version_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("orders.tape");
    samples::segments_of(&path, [3]);
    fs::remove_file(path.join("lock")).unwrap();
    let lines = "changetape tape\nformat 7\n";
    let text = format!("{lines}crc32 {:08x}\n", crc32fast::hash(lines.as_bytes()));
    fs::write(path.join("FORMAT"), text).unwrap();
    let before = Image::of(&path);
    for error in [
        TapeReader::open(&path).unwrap_err(),
        TapeWriter::open(&path).unwrap_err(),
        verify(&path, &mut |_, _| ()).unwrap_err(),
        repair(&path, &mut |_, _| ()).unwrap_err(),
    ] {
        let text = error.to_string();
        assert!(matches!(error, Error::TooNew { found: 7, supported: 1, .. }), "{text}");
        assert!(text.ends_with("reads versions up to 1; use a newer changetape"), "{text}");
    }
    assert_eq!(Image::of(&path), before);
    assert!(!path.join("lock").exists(), "not even locked");
}
