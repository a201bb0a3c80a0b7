//! Goal: a base is read back as it was written or not at all: no flip, cut, or part of another
//! base passes; and wherever making one fails there is a tape with a whole base, or no tape.
//! Method: small bases with several blocks; every byte flipped and every length cut; every call
//! on the way to the disk fails once, and once more the process ends there (a child: this test
//! binary again).

use std::path::Path;

use bson::raw::RawDocumentBuf;
use bson::rawdoc;

use super::*;
use crate::disk::seam::{At, Call, Failure, Script, Then};
use crate::{TapeDraft, TapeOptions, TapeReader, TapeWriter, frame, repair, samples};

const TAPE: &str = "CHANGETAPE_TEST_BASE_TAPE";
const CALL: &str = "CHANGETAPE_TEST_BASE_CALL";

const TIME: ClusterTime = ClusterTime { seconds: 7, increment: 3 };

fn taken() -> WallTime {
    WallTime::from_millis(1_772_366_400_000)
}

fn definition(coll: &str, kind: &str) -> Definition {
    let index = rawdoc! {"v": 2, "key": {"_id": 1}, "name": "_id_"};
    let is_view = kind == "view";
    Definition {
        db: "shop".into(),
        coll: coll.into(),
        kind: kind.into(),
        options: if is_view {
            rawdoc! {"viewOn": "orders"}
        } else {
            rawdoc! {}
        },
        indexes: if is_view { vec![] } else { vec![index] },
    }
}

/// Documents of different lengths; so many that they make several blocks only if `long`.
fn documents(n: i32, long: bool) -> Vec<RawDocumentBuf> {
    let text = |i: i32| "x".repeat(if long { 150_000 } else { 0 } + i.unsigned_abs() as usize % 7);
    (0..n).map(|i| rawdoc! {"_id": i, "text": text(i)}).collect()
}

/// What a base is made of.
type Contents = Vec<(Definition, Vec<RawDocumentBuf>)>;

fn contents(long: bool) -> Contents {
    vec![
        (definition("orders", "collection"), documents(20, long)),
        (definition("empty", "collection"), vec![]),
        (definition("open_orders", "view"), vec![]),
        (definition("stock.old", "collection"), documents(3, false)),
    ]
}

fn write(path: &Path, contents: &Contents) -> Result<BaseSummary, Error> {
    let draft = TapeDraft::begin(path)?;
    let mut writer = draft.begin_base(TIME, taken())?;
    for (definition, documents) in contents {
        writer.collection(definition)?;
        documents.iter().try_for_each(|document| writer.document(document))?;
    }
    let summary = writer.finish()?;
    draft.finish(samples::metadata(), TapeOptions::default())?.close()?;
    Ok(summary)
}

fn read(path: &Path) -> Result<Option<Contents>, Error> {
    let Some(base) = Base::open(path)? else { return Ok(None) };
    let mut contents = Contents::new();
    for collection in base.collections() {
        let collection = collection?;
        let mut documents = Vec::new();
        for block in base.blocks(&collection) {
            documents.extend(block?.documents().map(ToOwned::to_owned));
        }
        contents.push((collection.definition, documents));
    }
    Ok(Some(contents))
}

#[test]
fn a_base_is_read_as_it_was_written() {
    let dir = tempfile::tempdir().unwrap();
    for (name, contents) in
        [("short", contents(false)), ("long", contents(true)), ("none", Contents::new())]
    {
        let path = dir.path().join(name);
        let written = write(&path, &contents).unwrap();
        assert_eq!(read(&path).unwrap().as_ref(), Some(&contents), "{name}");
        let summary = TapeReader::open(&path).unwrap().summary().unwrap();
        let base = summary.base.unwrap();
        assert_eq!(BaseSummary { disk_bytes: 0, ..base }, BaseSummary { disk_bytes: 0, ..written });
        assert_eq!((base.time, base.taken), (TIME, taken()));
        let documents = contents.iter().flat_map(|(_, documents)| documents);
        let bytes: usize = documents.clone().map(|document| document.as_bytes().len()).sum();
        let counted = (contents.len() as u64, documents.count() as u64, bytes as u64);
        assert_eq!((base.collections, base.documents, base.bytes), counted);
        assert!(summary.disk_bytes >= base.disk_bytes && base.disk_bytes > 0);
    }
}

#[test]
fn blocks_are_about_as_long_as_meant() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("orders.tape");
    write(&path, &contents(true)).unwrap();
    let base = Base::open(&path).unwrap().unwrap();
    let orders = base.collections().next().unwrap().unwrap();
    let blocks: Vec<usize> = base.blocks(&orders).map(|block| block.unwrap().len()).collect();
    assert_eq!(blocks, [3, 3, 3, 3, 3, 3, 2]);
}

#[test]
fn every_flip_and_every_cut_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("orders.tape");
    write(&path, &contents(false)).unwrap();
    let file = path.join(layout::BASE);
    let whole = std::fs::read(&file).unwrap();
    let check = |bytes: &[u8], case: &str| {
        std::fs::write(&file, bytes).unwrap();
        let mut damages = Vec::new();
        verify(&path, &mut |damage| damages.push(damage)).unwrap();
        assert!(!damages.is_empty(), "{case} is not noticed");
        assert!(matches!(read(&path), Err(Error::Damaged { .. })), "{case} is read");
        assert!(damages.iter().all(|damage| damage.what.starts_with("base: ")), "{damages:?}");
    };
    for at in 0..whole.len() {
        check(&whole[..at], &format!("cut to {at}"));
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << (at % 8);
        check(&flipped, &format!("a flip at {at}"));
    }
    check(&[&whole[..], &[0]].concat(), "one byte more");
}

#[test]
fn parts_of_another_base_are_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("orders.tape");
    let file = path.join(layout::BASE);
    let long: Vec<_> = (0..8).map(|i| rawdoc! {"_id": i, "text": "x".repeat(300_000)}).collect();
    write(&path, &vec![(definition("orders", "collection"), long)]).unwrap();
    let whole = std::fs::read(&file).unwrap();
    let at: Vec<usize> =
        (0..whole.len() - 4).filter(|&at| whole[at..].starts_with(&BLOCK_MAGIC)).collect();
    assert_eq!(at.len(), 8);
    let part = |range: std::ops::Range<usize>| &whole[at[range.start]..at[range.end]];
    let parts = [&whole[..at[1]], part(2..3), part(1..2), &whole[at[3]..]];
    let exchanged = parts.concat();
    assert_eq!(exchanged.len(), whole.len());
    std::fs::write(&file, exchanged).unwrap();
    let error = read(&path).unwrap_err().to_string();
    assert!(
        error.contains("of 8 documents of shop.orders only the first 1 can be read"),
        "{error}"
    );
    // The header of a base of another time.
    let header = |time| frame::encode(HEADER_MAGIC, &header(time, taken())).unwrap();
    let other = header(ClusterTime { increment: 4, ..TIME });
    let mixed = [&other[..], &whole[other.len()..]].concat();
    std::fs::write(&file, mixed).unwrap();
    assert!(read(&path).unwrap_err().to_string().contains("its totals are not"));
}

#[test]
fn what_was_counted_is_compared() {
    use super::totals::{Extent, FOOTER_LEN, Footer, Totals};
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("orders.tape");
    let file = path.join(layout::BASE);
    write(&path, &vec![(definition("orders", "collection"), documents(8, true))]).unwrap();
    let whole = std::fs::read(&file).unwrap();
    let footer = Footer::decode(&whole[whole.len() - FOOTER_LEN..]).unwrap();
    let at = usize::try_from(footer.totals_at).unwrap();
    let start = frame::stated_len(HEADER_MAGIC, &whole).unwrap() as u64;
    let totals = &whole[at..whole.len() - FOOTER_LEN];
    let totals = Totals::decode(totals, start, footer.totals_at).unwrap();
    // As many blocks as before, or the last one left out; and the totals of either.
    let last = whole.windows(4).rposition(|window| window == BLOCK_MAGIC).unwrap();
    let put_together = |end: usize, documents: u64| {
        let extent = Extent { documents, ..totals.collections[0] };
        let totals = Totals { collections: vec![extent], ..totals.clone() }.encode().unwrap();
        let file_len = (end + totals.len() + FOOTER_LEN) as u64;
        let footer = Footer { totals_at: end as u64, file_len }.encode();
        std::fs::write(&file, [&whole[..end], &totals, &footer].concat()).unwrap();
        read(&path)
    };
    assert!(put_together(at, 8).is_ok());
    for (end, documents) in [(at, 9), (last, 8)] {
        let error = put_together(end, documents).unwrap_err().to_string();
        assert!(error.contains("documents of shop.orders only the first"), "{error}");
    }
}

#[test]
fn more_than_can_be_counted_is_noticed() {
    use super::totals::{Extent, Totals};
    let extent = |at, documents, bytes| Extent { at, documents, bytes };
    let read = |second| {
        let collections = vec![extent(10, u64::MAX - 5, 1 << 63), second];
        Totals::decode(&Totals { time: TIME, collections }.encode().unwrap(), 10, 30)
    };
    assert!(read(extent(20, 5, 1)).is_some());
    assert!(read(extent(20, 6, 1)).is_none() && read(extent(20, 5, 1 << 63)).is_none());
}

#[test]
fn a_newer_base_is_told_from_a_damaged_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("orders.tape");
    write(&path, &contents(false)).unwrap();
    let newer = rawdoc! {"version": VERSION + 1, "time": bson::Timestamp::from(TIME),
    "taken": bson::DateTime::from(taken())};
    let file = path.join(layout::BASE);
    let whole = std::fs::read(&file).unwrap();
    let header = frame::encode(HEADER_MAGIC, &newer).unwrap();
    std::fs::write(&file, [&header[..], &whole[header.len()..]].concat()).unwrap();
    assert!(matches!(Base::open(&path), Err(Error::TooNew { what: "base", found: 2, .. })));
}

#[test]
fn a_damaged_base_is_put_aside_by_a_repair() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("orders.tape");
    write(&path, &contents(false)).unwrap();
    let file = path.join(layout::BASE);
    let mut bytes = std::fs::read(&file).unwrap();
    let last_block = bytes.windows(4).rposition(|window| window == BLOCK_MAGIC).unwrap();
    bytes[last_block + 40] ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    let repaired = repair(&path, &mut |_, _| ()).unwrap();
    assert!(repaired.base_lost && repaired.damages.len() == 1, "{repaired:?}");
    assert!(
        repaired.damages[0].what.contains("of 3 documents of shop.stock.old only the first 0"),
        "{repaired:?}"
    );
    assert_eq!(std::fs::read(path.join("base.damaged")).unwrap(), bytes);
    assert_eq!(read(&path).unwrap(), None);
    assert!(!repair(&path, &mut |_, _| ()).unwrap().base_lost);
    TapeWriter::open(&path).unwrap().close().unwrap();
}

#[test]
fn what_a_base_cannot_hold_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let draft = TapeDraft::begin(&dir.path().join("orders.tape")).unwrap();
    let mut writer = draft.begin_base(TIME, taken()).unwrap();
    writer.collection(&definition("orders", "collection")).unwrap();
    let long = rawdoc! {"text": "x".repeat(MAX_DOCUMENT_LEN)};
    assert!(matches!(writer.document(&long), Err(Error::DocumentTooLarge { .. })));
    let mut writer = draft.begin_base(TIME, taken()).unwrap();
    writer.document(&rawdoc! {}).unwrap();
    assert!(writer.finish().is_err(), "a document of no collection");
}

#[test]
fn a_tape_is_not_there_before_its_base_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("orders.tape");
    let draft = TapeDraft::begin(&path).unwrap();
    assert!(matches!(TapeDraft::begin(&path), Err(Error::InUse { .. })));
    let mut writer = draft.begin_base(TIME, taken()).unwrap();
    writer.collection(&definition("orders", "collection")).unwrap();
    assert!(!crate::tape_exists(&path));
    drop((writer, draft));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "something is left");
}

#[test]
fn whichever_call_fails_there_is_a_whole_base_or_no_tape() {
    let dir = tempfile::tempdir().unwrap();
    let script = Script::notes(dir.path());
    write(&dir.path().join("orders.tape"), &contents(true)).unwrap();
    let calls = script.calls().len();
    drop(script);
    let mut failed = 0;
    for call in 0..calls {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("orders.tape");
        let script = Script::at(dir.path(), At::Any(call), Then::FailOn(Failure::DiskFull));
        failed += u32::from(write(&path, &contents(true)).is_err());
        drop(script);
        if crate::tape_exists(&path) {
            assert_eq!(read(&path).unwrap(), Some(contents(true)), "call {call}");
        } else {
            // What is left is in nobody's way.
            write(&path, &contents(false)).unwrap();
            assert_eq!(read(&path).unwrap(), Some(contents(false)), "call {call}");
        }
    }
    assert!(failed > 20, "{failed} of {calls}");
}

/// What the child does; nothing when this runs as an ordinary test.
#[test]
fn child() {
    let (Ok(tape), Ok(call)) = (std::env::var(TAPE), std::env::var(CALL)) else { return };
    let path = Path::new(&tape);
    let dir = layout::parent(path);
    let _script = Script::at(dir, At::Any(call.parse().unwrap()), Then::Abort);
    write(path, &contents(false)).unwrap();
}

#[test]
fn at_whichever_call_the_process_ends_there_is_a_whole_base_or_no_tape() {
    let dir = tempfile::tempdir().unwrap();
    let script = Script::notes(dir.path());
    write(&dir.path().join("orders.tape"), &contents(false)).unwrap();
    let calls = script.calls().len();
    drop(script);
    let (mut with, mut without) = (0, 0);
    for call in 0..calls {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("orders.tape");
        let ended = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "base::tests::child", "--test-threads=1"])
            .env(TAPE, &path)
            .env(CALL, call.to_string())
            .output()
            .unwrap();
        assert!(!ended.status.success(), "call {call} did not end it");
        if crate::tape_exists(&path) {
            with += 1;
            assert_eq!(read(&path).unwrap(), Some(contents(false)), "call {call}");
            TapeWriter::open(&path).unwrap().close().unwrap();
        } else {
            without += 1;
            write(&path, &contents(true)).unwrap();
            assert_eq!(read(&path).unwrap(), Some(contents(true)), "call {call}");
        }
    }
    assert!(with > 0 && without > 10, "{with} with, {without} without");
}

#[test]
fn a_base_is_durable_before_the_tape_has_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("orders.tape");
    let script = Script::notes(dir.path());
    write(&path, &contents(true)).unwrap();
    let calls = script.calls();
    let new = layout::creating(&path);
    let at = |call: Call, path: &Path| {
        let found = calls.iter().rposition(|(c, p)| (*c, p.as_path()) == (call, path));
        found.unwrap_or_else(|| panic!("no {call:?} of {}", path.display()))
    };
    let unfinished = layout::unfinished_base(&new);
    let order = [
        at(Call::Write, &unfinished),
        at(Call::Sync, &unfinished),
        at(Call::Rename, &new.join(layout::BASE)),
        at(Call::SyncDir, &new),
        at(Call::Rename, &path),
    ];
    assert!(order.is_sorted(), "{order:?} in {calls:?}");
}
