//! Goal: a tape that was not closed and was damaged as well loses no acknowledged event in
//! silence: each is found or named; and repairing keeps what can be read.
//! Method: the files of a tape whose writer lives, which is what a kill leaves, with bytes
//! flipped, and files cut and removed; each image is verified, read, opened for recording and
//! repaired. The seed is printed.

use std::ops::Range;
use std::path::{Path, PathBuf};

use changetape_core::Seq;
use changetape_tape::{Damage, Error, TapeReader, TapeWriter, repair, verify};

use crate::image::{Image, Placed, content_len};
use crate::samples;

/// The events that are sealed; what follows is not.
const SEALED: u64 = 6;

/// The events of each append to the live end.
const APPENDS: [Range<u64>; 4] = [SEALED..10, 10..15, 15..16, 16..END];

const END: u64 = 22;

/// How many places of a large file are tried.
const SOME: usize = 60;

/// A tape that was not closed.
struct Killed {
    dir: tempfile::TempDir,
    image: Image,
    log: String,
    /// In the log; sled may have a block twice.
    blocks: Vec<Placed>,
}

impl Killed {
    fn new() -> Self {
        let dir = samples::in_memory_dir();
        let path = dir.path().join("made.tape");
        samples::segments_of(&path, [SEALED]);
        let mut writer = TapeWriter::open(&path).unwrap();
        for places in APPENDS {
            samples::append(&mut writer, places).unwrap();
        }
        // What is on disk while the writer lives is what a kill would leave.
        let image = Image::of(&path);
        let log = image.names("log/").into_iter().find(|name| name.ends_with("/db")).unwrap();
        let blocks = image.blocks(&log);
        for places in APPENDS {
            assert!(blocks.iter().any(|placed| placed.events == places), "{places:?}");
        }
        Self { dir, image, log, blocks }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("orders.tape")
    }

    /// Flips a bit in each copy of a block.
    fn hit_block(&self, image: &Image, events: &Range<u64>) -> Image {
        image.with(&self.log, |bytes| {
            for placed in self.blocks.iter().filter(|placed| placed.events == *events) {
                bytes[placed.bytes.end - 3] ^= 4;
            }
        })
    }

    /// Opens a damaged tape in every way: all is there each time, or each time it is damaged,
    /// and nothing was changed; the damage then. Repairs it too.
    fn check(&self, damaged: &Image, case: &str) -> Option<Damage> {
        let path = self.path();
        damaged.restore(&path);
        let found = verify(&path, &mut |_, _| ()).unwrap().damages;
        assert!(*damaged == Image::of(&path), "{case}: verifying changed something");
        let read = TapeReader::open(&path).map(|reader| samples::check_holds(&reader, END));
        let read = self.damage(read, damaged, case);
        damaged.restore(&path);
        let opened = TapeWriter::open(&path).map(|writer| {
            assert_eq!(samples::next_of(&writer), END, "{case}");
        });
        let opened = self.damage(opened, damaged, case);
        assert_eq!(read, opened, "{case}: reading and recording differ");
        match &read {
            Some(damage) => {
                let named = found.iter().any(|found| found.what == damage.what);
                assert!(named, "{case}: {damage:?} is not in {found:?}");
            }
            None => assert_eq!(found, [], "{case}"),
        }
        damaged.restore(&path);
        let repaired = repair(&path, &mut |_, _| ()).unwrap_or_else(|e| panic!("{case}: {e}"));
        assert_eq!(repaired.damages.is_empty(), read.is_none(), "{case}");
        read
    }

    fn damage(&self, opened: Result<(), Error>, damaged: &Image, case: &str) -> Option<Damage> {
        let Err(error) = opened else { return None };
        assert!(*damaged == Image::of(&self.path()), "{case}: {error}: something was changed");
        let Error::Damaged { damage, .. } = error else { panic!("{case}: {error}") };
        Some(*damage)
    }
}

/// Which events a repaired tape holds: each as it was recorded, and the rest in gaps.
fn kept(path: &Path, case: &str) -> Vec<u64> {
    samples::check_sound(path);
    let reader = TapeReader::open(path).unwrap_or_else(|error| panic!("{case}: {error}"));
    let gaps = reader.gaps();
    let mut kept = Vec::new();
    let mut next = 0;
    for block in reader.blocks(Seq::ZERO) {
        for recorded in block.unwrap_or_else(|error| panic!("{case}: {error}")).events() {
            let n = recorded.seq.get();
            let told = n == next || gaps.iter().any(|gap| (next..=n).contains(&gap.at.get()));
            assert!(told, "{case}: from {next} to {n} without a gap");
            assert_eq!(recorded.event.as_bytes(), samples::event(n).as_bytes(), "{case}: {n}");
            kept.push(n);
            next = n + 1;
        }
    }
    kept
}

#[test]
fn flipped_or_cut_it_has_every_event_or_says_that_it_has_not() {
    let killed = Killed::new();
    let mut random = samples::seeded();
    assert_eq!(killed.check(&killed.image, "undamaged"), None);
    let mut damages = 0;
    // What is sealed is as in a closed tape.
    for (file, bytes) in killed.image.0.iter().filter(|(file, _)| !file.starts_with("segments/")) {
        let len = content_len(bytes);
        let mut places: Vec<usize> = (0..len).collect();
        if file.contains('/') {
            random.shuffle(&mut places);
            places.truncate(SOME);
            // Half of a database is structure; the blocks are what counts.
            let blocks = killed.blocks.iter().filter(|placed| placed.file == *file);
            places.extend(blocks.flat_map(|placed| placed.bytes.clone().step_by(37)));
        } else {
            random.shuffle(&mut places);
            places.truncate(SOME / 4);
        }
        for at in places {
            let bit = random.u8(0..8);
            let flipped = killed.image.with(file, |bytes| bytes[at] ^= 1 << bit);
            let found = killed.check(&flipped, &format!("bit {bit} of byte {at} of {file}"));
            damages += u64::from(found.is_some());
            let cut = killed.image.with(file, |bytes| bytes.truncate(at));
            damages += u64::from(killed.check(&cut, &format!("{file} cut to {at}")).is_some());
        }
        if file != "durable" {
            killed.check(&killed.image.without(file), &format!("{file} removed"));
        }
    }
    assert!(damages > 50, "{damages} damages");
}

#[test]
fn whichever_block_is_hit_is_named_and_the_others_are_kept() {
    let killed = Killed::new();
    let path = killed.path();
    for hit in 0_u32..1 << APPENDS.len() {
        let hit: Vec<_> =
            APPENDS.into_iter().enumerate().filter(|(n, _)| hit & 1 << n != 0).collect();
        let Some((_, first)) = hit.first() else { continue };
        let case = format!("{hit:?}");
        let damaged = hit
            .iter()
            .fold(killed.image.clone(), |image, (_, events)| killed.hit_block(&image, events));
        let damage = killed.check(&damaged, &case).unwrap();
        let events = Seq::new(first.start)..Seq::new(END);
        assert_eq!(damage.events, Some(events), "{case}");
        let start =
            format!("events {} to {} were durable", Seq::new(first.start), Seq::new(END - 1));
        assert!(damage.what.starts_with(&start), "{case}: {}", damage.what);
        let lost = |n: &u64| hit.iter().any(|(_, events)| events.contains(n));
        let expected: Vec<u64> = (0..END).filter(|n| !lost(n)).collect();
        assert_eq!(kept(&path, &case), expected, "{case}");
        // The checkpoint behind the last block is there, so the recording goes on behind it.
        let mut writer = TapeWriter::open(&path).unwrap();
        let checkpoint = writer.checkpoint().unwrap();
        assert_eq!((checkpoint.next.get(), checkpoint.token), (END, samples::token(END)), "{case}");
        samples::append(&mut writer, END..END + 3).unwrap();
        writer.close().unwrap();
        let expected: Vec<u64> = (0..END + 3).filter(|n| !lost(n)).collect();
        assert_eq!(kept(&path, &case), expected, "{case}");
    }
}

#[test]
fn what_the_end_of_the_log_held_is_recorded_again() {
    let killed = Killed::new();
    let path = killed.path();
    let block = killed.blocks.iter().find(|placed| placed.events == APPENDS[1]).unwrap();
    let cut = killed.image.with(&killed.log, |bytes| bytes.truncate(block.bytes.start + 10));
    let damage = killed.check(&cut, "cut").unwrap();
    assert_eq!(damage.events, Some(Seq::new(10)..Seq::new(END)));
    assert_eq!(kept(&path, "cut"), (0..10).collect::<Vec<_>>());
    // Nothing says where the recording went on, so it goes on where the tape now ends.
    let reader = TapeReader::open(&path).unwrap();
    let checkpoint = reader.checkpoint().unwrap();
    assert_eq!((checkpoint.next.get(), checkpoint.token), (10, samples::token(10)));
    assert_eq!(reader.gaps(), []);
    let mut writer = TapeWriter::open(&path).unwrap();
    samples::append(&mut writer, 10..END).unwrap();
    writer.close().unwrap();
    samples::check_holds(&TapeReader::open(&path).unwrap(), END);
}

#[test]
fn a_gap_that_was_hit_is_not_lost_in_silence() {
    let dir = samples::in_memory_dir();
    let path = dir.path().join("orders.tape");
    samples::segments_of(&path, [SEALED]);
    let mut writer = TapeWriter::open(&path).unwrap();
    samples::append(&mut writer, SEALED..10).unwrap();
    samples::append_gap(&mut writer, samples::gap(3), &samples::token(500)).unwrap();
    samples::append(&mut writer, 10..END).unwrap();
    let image = Image::of(&path);
    drop(writer);
    let log = image.names("log/").into_iter().find(|name| name.ends_with("/db")).unwrap();
    let mut hits = 0;
    let damaged = image.with(&log, |bytes| {
        for at in 0..bytes.len() - 20 {
            if bytes[at..].starts_with(b"CTGP") {
                bytes[at + 20] ^= 1;
                hits += 1;
            }
        }
    });
    assert!(hits > 0);
    damaged.restore(&path);
    if let Ok(reader) = TapeReader::open(&path) {
        assert_eq!(samples::gap_places(&reader), [10], "the gap is gone, and nothing says so");
    }
}

#[test]
fn the_zeros_that_the_database_file_ends_in_are_padding() {
    let killed = Killed::new();
    let content = content_len(&killed.image.0[&killed.log]);
    for len in [content, content + 1, content + 5_000, content + (9 << 20)] {
        let padded = killed.image.with(&killed.log, |bytes| bytes.resize(len, 0));
        assert_eq!(killed.check(&padded, &format!("{len} bytes")), None);
    }
}

#[test]
fn a_live_end_without_its_catalog_or_its_segment_is_kept() {
    let killed = Killed::new();
    let path = killed.path();
    let segment = &killed.image.names("segments/")[0];
    killed.check(&killed.image.without("catalog"), "no catalog").unwrap();
    assert_eq!(kept(&path, "no catalog"), (0..END).collect::<Vec<_>>());
    killed.image.without(segment).restore(&path);
    let found = verify(&path, &mut |_, _| ()).unwrap();
    assert_eq!(found.events, END - SEALED);
    assert_eq!(found.damages[0].events, Some(Seq::ZERO..Seq::new(SEALED)));
    repair(&path, &mut |_, _| ()).unwrap();
    assert_eq!(kept(&path, "no segment"), (SEALED..END).collect::<Vec<_>>());
}

#[test]
fn of_a_small_live_end_each_byte_and_each_length_counts_or_costs_nothing() {
    let dir = samples::in_memory_dir();
    let path = dir.path().join("orders.tape");
    let mut writer = samples::tape_of(&path, [2]);
    samples::append_gap(&mut writer, samples::gap(3), &samples::token(500)).unwrap();
    samples::append(&mut writer, 2..3).unwrap();
    let image = Image::of(&path);
    drop(writer);
    let mut random = samples::seeded();
    let (mut noticed, mut harmless) = (0, 0);
    for file in image.names("log/") {
        let bytes = &image.0[&file];
        // As long as sled has written little, it has set nothing aside: these are all bytes.
        assert!(bytes.len() < 10_000, "{} bytes in {file}", bytes.len());
        let flips = (0..bytes.len()).map(|at| {
            let bit = random.u8(0..8);
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            (format!("bit {bit} of byte {at} of {file}"), flipped)
        });
        let cuts =
            (0..bytes.len()).map(|len| (format!("{file} cut to {len}"), bytes[..len].to_vec()));
        image.restore(&path);
        for (case, damaged) in flips.chain(cuts).collect::<Vec<_>>() {
            std::fs::write(path.join(&file), damaged).unwrap();
            let found = verify(&path, &mut |_, _| ()).unwrap().damages;
            match TapeReader::open(&path) {
                Ok(reader) => {
                    assert_eq!(found, [], "{case}");
                    samples::check_holds(&reader, 3);
                    assert_eq!(samples::gap_places(&reader), [2], "{case}");
                    // It is sealed now.
                    image.restore(&path);
                    harmless += 1;
                }
                Err(Error::Damaged { damage, .. }) => {
                    assert!(found.contains(&damage), "{case}: {damage:?} is not in {found:?}");
                    noticed += 1;
                }
                Err(error) => panic!("{case}: {error}"),
            }
        }
    }
    println!("{noticed} noticed, {harmless} harmless");
    assert!(noticed > 500 && harmless > 100, "{noticed} noticed, {harmless} harmless");
}
