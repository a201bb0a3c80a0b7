//! Goal: whatever happens to a tape's files is noticed before it costs an event, is named with
//! the sequence number from which on events are gone, and changes nothing more on disk; and
//! what happened to no event's bytes does not keep a crashed tape from opening.
//! Method: small tapes, closed cleanly or as a killed recorder leaves them, with bytes
//! flipped, files cut and removed; each is opened for reading and for recording, and its
//! files are compared before and after. The seed is printed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use changetape_core::Seq;
use changetape_tape::{Damage, Error, TapeReader, TapeWriter};

use crate::samples;

/// A tape's files: path in the tape, content. The lock's text is not the tape's content.
type Image = BTreeMap<String, Vec<u8>>;

fn image(tape: &Path) -> Image {
    let mut image = Image::new();
    let mut pending = vec![tape.to_owned()];
    while let Some(dir) = pending.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(tape).unwrap().to_str().unwrap().to_owned();
            if path.is_dir() {
                pending.push(path);
            } else if name != "lock" {
                image.insert(name, fs::read(path).unwrap());
            }
        }
    }
    image
}

fn restore(image: &Image, tape: &Path) {
    if tape.exists() {
        fs::remove_dir_all(tape).unwrap();
    }
    fs::create_dir_all(tape.join("log/blobs")).unwrap();
    for (name, bytes) in image {
        fs::write(tape.join(name), bytes).unwrap();
    }
}

/// A tape of 60 events in 12 blocks, as a clean close and as a kill leave it.
struct Tapes {
    dir: tempfile::TempDir,
    closed: Image,
    killed: Image,
}

const END: u64 = 60;

/// How long a file is without the zeros at its end.
fn content_len(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1)
}

/// Where syncing costs nothing: thousands of tapes are opened here, and no power is lost.
fn in_memory_dir() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

impl Tapes {
    fn new() -> Self {
        let dir = in_memory_dir();
        let path = dir.path().join("made.tape");
        let writer = samples::tape_of(&path, [5; 12]);
        // What is on disk while the writer lives is what a kill would leave.
        let killed = image(&path);
        writer.close().unwrap();
        let closed = image(&path);
        Self { dir, closed, killed }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("orders.tape")
    }
}

/// What opening a tape for reading and for recording says; both times nothing may change on
/// disk when it is an error.
fn open_both(image_now: &Image, path: &Path) -> [Result<u64, Error>; 2] {
    let opened = |open: &dyn Fn() -> Result<u64, Error>| {
        restore(image_now, path);
        let result = open();
        if result.is_err() {
            assert!(*image_now == image(path), "changed on disk: {result:?}");
        }
        result
    };
    [
        opened(&|| {
            let reader = TapeReader::open(path)?;
            samples::check_holds(&reader, reader.end().get());
            Ok(reader.end().get())
        }),
        opened(&|| {
            let writer = TapeWriter::open(path)?;
            Ok(writer.checkpoint().map_or(0, |checkpoint| checkpoint.next.get()))
        }),
    ]
}

fn damage(result: Result<u64, Error>, path: &Path, case: &str) -> Damage {
    let error = match result {
        Ok(end) => panic!("{case}: opened with {end} events"),
        Err(error) => error,
    };
    let text = error.to_string();
    let start = format!("{} is damaged: ", path.display());
    assert!(text.starts_with(&start), "{case}: {text}");
    assert!(text.contains('#') && text.contains("nothing was changed on disk"), "{case}: {text}");
    let Error::Damaged { damage, .. } = error else { panic!("{case}: {text}") };
    *damage
}

/// Each way to open the tape says that it is damaged; the same each time.
fn expect_damage(now: &Image, path: &Path, case: &str) -> Damage {
    let [reading, recording] = open_both(now, path).map(|result| damage(result, path, case));
    assert_eq!(reading, recording, "{case}");
    reading
}

fn with(image: &Image, name: &str, change: impl FnOnce(&mut Vec<u8>)) -> Image {
    let mut changed = image.clone();
    change(changed.get_mut(name).unwrap());
    changed
}

fn without(image: &Image, name: &str) -> Image {
    let mut changed = image.clone();
    changed.remove(name).unwrap();
    changed
}

/// The places of a file that a test of it tries: all of a small one, some of a large one.
fn places(len: usize, random: &mut fastrand::Rng) -> Vec<usize> {
    const SOME: usize = 20;
    if len <= SOME { (0..len).collect() } else { (0..SOME).map(|_| random.usize(0..len)).collect() }
}

fn seeded() -> fastrand::Rng {
    let seed = std::env::var("CHANGETAPE_TEST_SEED").ok();
    let seed = seed.map_or_else(|| fastrand::u64(..), |seed| seed.parse().unwrap());
    println!("CHANGETAPE_TEST_SEED={seed}");
    fastrand::Rng::with_seed(seed)
}

#[test]
fn a_closed_tape_is_as_it_was_closed_or_damaged() {
    let tapes = Tapes::new();
    let path = tapes.path();
    let mut random = seeded();
    let [reading, recording] = open_both(&tapes.closed, &path);
    assert_eq!((reading.unwrap(), recording.unwrap()), (END, END));
    for (name, bytes) in &tapes.closed {
        // sled pads its file with zeros, and cuts them off again.
        let len = if name == "log/db" { content_len(bytes) } else { bytes.len() };
        for at in places(len, &mut random) {
            let bit = random.u8(0..8);
            let case = format!("bit {bit} of byte {at} of {name}");
            let flipped = with(&tapes.closed, name, |bytes| bytes[at] ^= 1 << bit);
            assert_eq!(expect_damage(&flipped, &path, &case).end, Seq::new(END), "{case}");
            let case = format!("{name} cut to {at}");
            let cut = with(&tapes.closed, name, |bytes| bytes.truncate(at));
            assert_eq!(expect_damage(&cut, &path, &case).end, Seq::new(END), "{case}");
        }
        // Without these two the tape is one that crashed, or one with less to check.
        if !["closed", "durable"].contains(&name.as_str()) {
            let case = format!("{name} removed");
            let now = without(&tapes.closed, name);
            if name == "log/db" {
                let damage = expect_damage(&now, &path, &case);
                assert_eq!((damage.from, damage.end), (Seq::ZERO, Seq::new(END)));
            } else {
                expect_damage(&now, &path, &case);
            }
        }
    }
    let now = without(&without(&tapes.closed, "durable"), "closed");
    let [reading, recording] = open_both(&now, &path);
    assert_eq!((reading.unwrap(), recording.unwrap()), (END, END));
}

#[test]
fn reading_a_closed_tape_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("orders.tape");
    let mut random = seeded();
    let mut writer = samples::tape_of(&path, []);
    let mut next = 0;
    for _ in 0..8 {
        // Enough for sled to use several of its segments, and to free some again.
        for _ in 0..random.u64(0..30) {
            let end = next + random.u64(1..3_000);
            samples::append(&mut writer, next..end).unwrap();
            next = end;
        }
        writer.close().unwrap();
        let mut closed = image(&path);
        closed.get_mut("log/db").map(|db| db.truncate(content_len(db))).unwrap();
        for _ in 0..4 {
            let reader = TapeReader::open(&path).unwrap();
            assert_eq!(reader.end(), Seq::new(next));
            reader.blocks(Seq::ZERO).for_each(|block| drop(block.unwrap()));
            drop(reader);
            let mut now = image(&path);
            now.get_mut("log/db").map(|db| db.truncate(content_len(db))).unwrap();
            assert!(now == closed, "{next} events");
        }
        writer = TapeWriter::open(&path).unwrap();
    }
}

#[test]
fn the_zeros_that_the_database_file_ends_in_are_padding() {
    let tapes = Tapes::new();
    let path = tapes.path();
    let content = content_len(&tapes.closed["log/db"]);
    for len in [content, content + 1, content + 5_000, content + (9 << 20)] {
        let padded = with(&tapes.closed, "log/db", |bytes| bytes.resize(len, 0));
        let [reading, recording] = open_both(&padded, &path);
        assert_eq!((reading.unwrap(), recording.unwrap()), (END, END), "{len} bytes");
    }
}

#[test]
fn a_killed_tape_that_was_also_damaged_loses_no_event_in_silence() {
    let tapes = Tapes::new();
    let path = tapes.path();
    let mut random = seeded();
    let check = |now: &Image, case: &str| {
        for result in open_both(now, &path) {
            match result {
                // What was hit holds nothing any more.
                Ok(end) => assert_eq!(end, END, "{case}"),
                Err(error) => drop(damage(Err(error), &path, case)),
            }
        }
    };
    for name in tapes.killed.keys() {
        for at in places(content_len(&tapes.killed[name]), &mut random) {
            let bit = random.u8(0..8);
            let flipped = with(&tapes.killed, name, |bytes| bytes[at] ^= 1 << bit);
            check(&flipped, &format!("bit {bit} of byte {at} of {name}"));
            let cut = with(&tapes.killed, name, |bytes| bytes.truncate(at));
            check(&cut, &format!("{name} cut to {at}"));
        }
        check(&without(&tapes.killed, name), &format!("{name} removed"));
    }
}

#[test]
fn a_killed_tape_whose_log_was_cut_names_what_is_gone() {
    let tapes = Tapes::new();
    let path = tapes.path();
    let block = block_positions(&tapes.killed["log/db"], 55);
    let cut_at = *block.first().unwrap();
    let now = with(&tapes.killed, "log/db", |bytes| bytes.truncate(cut_at + 10));
    let damage = expect_damage(&now, &path, "cut in the last block");
    assert_eq!(damage.what, "events #55 to #59 were durable and are gone from log/");
    assert_eq!((damage.from, damage.end), (Seq::new(55), Seq::new(60)));
}

#[test]
fn damage_in_a_block_names_the_first_event_that_is_gone() {
    let tapes = Tapes::new();
    let path = tapes.path();
    for image in [&tapes.closed, &tapes.killed] {
        for first in [0, 5, 35] {
            let hit = with(image, "log/db", |bytes| {
                // sled may have more than one copy of it.
                for at in block_positions(bytes, first) {
                    bytes[at + 150] ^= 1;
                }
            });
            let damage = expect_damage(&hit, &path, &format!("block of {first}"));
            assert_eq!((damage.from, damage.end), (Seq::new(first), Seq::new(END)));
        }
    }
}

/// Where the copies of the block lie that begins with an event.
fn block_positions(db: &[u8], first: u64) -> Vec<usize> {
    let begins =
        |at: &usize| db[*at..].starts_with(b"CTBK") && db[at + 24] == u8::try_from(first).unwrap();
    let found: Vec<usize> = (0..db.len() - 200).filter(begins).collect();
    assert!(!found.is_empty());
    found
}

#[test]
fn a_tape_of_a_newer_version_is_refused_and_left_alone() {
    let tapes = Tapes::new();
    let path = tapes.path();
    let newer = with(&tapes.closed, "FORMAT", |text| {
        let lines = "changetape tape\nformat 7\n";
        *text = format!("{lines}crc32 {:08x}\n", crc32fast::hash(lines.as_bytes())).into_bytes();
    });
    for result in open_both(&newer, &path) {
        let error = result.unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, Error::TooNew { found: 7, supported: 1, .. }), "{text}");
        assert!(text.ends_with("reads versions up to 1; use a newer changetape"), "{text}");
    }
    assert!(!path.join("lock").exists(), "not even locked");
}
