//! Goal: `docs/tape-format.md` and the code say the same.
//! Method: tables marked *checked* are compared with the code's constants; each dump is what
//! the code encodes, and decodes to what was encoded. A failure prints what the code says.

use std::fmt::Write;

use bson::rawdoc;
use changetape_core::Seq;

use crate::block::{self, Block, BlockEncoder, Decoder, High, NewBlock};
use crate::catalog::Catalog;
use crate::checkpoint::Kept;
use crate::segment::{Footer, Segment};
use crate::{
    Base, Checkpoint, FORMAT_VERSION, Gap, base, format, log, metadata, samples, watermark,
};

const DOCUMENT: &str = include_str!("../../../docs/tape-format.md");

/// What a fenced block of the document holds; `info` is what follows the fence.
fn fenced(info: &str) -> &'static str {
    let start = format!("\n```{info}\n");
    let (_, rest) = DOCUMENT.split_once(&start).unwrap_or_else(|| panic!("no block {info:?}"));
    // An empty one ends where it starts.
    rest.split_once("```").unwrap().0
}

/// The rows of the table whose header begins so.
fn table(header: &str) -> Vec<Vec<&'static str>> {
    let (_, rest) = DOCUMENT.split_once(header).unwrap_or_else(|| panic!("no table {header:?}"));
    let rows = rest.lines().skip(2).take_while(|line| line.starts_with('|'));
    rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

fn dump(bytes: &[u8]) -> String {
    let mut text = String::new();
    for (n, line) in bytes.chunks(16).enumerate() {
        let hex: Vec<String> = line.iter().map(|byte| format!("{byte:02x}")).collect();
        let shown = |&byte: &u8| if (0x20..0x7F).contains(&byte) { char::from(byte) } else { '.' };
        let ascii: String = line.iter().map(shown).collect();
        writeln!(text, "{:06x}  {:<47}  {ascii}", n * 16, hex.join(" ")).unwrap();
    }
    text
}

fn undump(text: &str) -> Vec<u8> {
    let bytes = text.lines().flat_map(|line| line[8..55].split_whitespace());
    bytes.map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}

fn check_dump(info: &str, bytes: &[u8]) {
    assert!(fenced(info) == dump(bytes), "{info} is now\n{}", dump(bytes));
}

#[test]
fn the_header_has_the_fields_of_the_table() {
    let rows = table("| offset | size | field of the header |");
    let fields: Vec<(usize, usize)> =
        rows.iter().map(|row| (row[0].parse().unwrap(), row[1].parse().unwrap())).collect();
    assert_eq!(fields, block::FIELDS);
    assert!(rows[0][2].contains(std::str::from_utf8(&block::MAGIC).unwrap()));
    assert!(rows[1][2].ends_with(&format!(" {}", block::VERSION)));
    assert!(rows[2][2].contains(&format!(": {} is", block::CODEC_ZSTD)));
}

#[test]
fn the_header_of_documents_has_the_fields_of_the_table() {
    let rows = table("| offset | size | field of the documents' header |");
    let fields: Vec<(usize, usize)> =
        rows.iter().filter_map(|row| Some((row[0].parse().ok()?, row[1].parse().ok()?))).collect();
    assert_eq!(fields, base::FIELDS);
    assert!(rows[0][2].contains(std::str::from_utf8(&base::BLOCK_MAGIC).unwrap()));
}

#[test]
fn the_base_is_as_shown() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("orders.tape");
    let made = samples::base(&path);
    std::fs::write(path.join("base"), undump(fenced("hex base"))).unwrap();
    // The body is zstd's, and may come out otherwise in another version of it.
    let shown = Base::open(&path).ok().flatten().is_some_and(|base| {
        let collections: Vec<_> = base.collections().map(Result::unwrap).collect();
        let documents = base.blocks(&collections[0]).flat_map(|block| {
            block.unwrap().documents().map(ToOwned::to_owned).collect::<Vec<_>>()
        });
        let expected = [rawdoc! {"_id": 1, "text": "some"}, rawdoc! {"_id": 2, "text": "more"}];
        documents.eq(expected)
            && collections.len() == 2
            && collections[1].definition.kind == "view"
            && base.summary().time.to_string() == "7:3"
    });
    assert!(shown, "base is now\n{}", dump(&made));
}

#[test]
fn the_limits_are_those_of_the_table() {
    let limits: Vec<usize> =
        table("| limit | value |").iter().map(|row| row[1].parse().unwrap()).collect();
    let expected = [
        block::MAX_RAW_LEN,
        block::TARGET_RAW_LEN,
        block::MAX_RUNS,
        block::MAX_TOKEN_LEN,
        log::SEGMENT_SIZE,
        base::MAX_RAW_LEN,
        base::TARGET_RAW_LEN,
    ];
    assert_eq!(limits, expected);
    assert_eq!(block::MAX_EVENT_LEN, block::MAX_RAW_LEN);
    assert_eq!(base::MAX_DOCUMENT_LEN, base::MAX_RAW_LEN);
    assert!(DOCUMENT.contains(&format!("Format version {FORMAT_VERSION}.")));
}

#[test]
fn the_small_files_are_as_shown() {
    let text = format::render(FORMAT_VERSION);
    assert!(fenced("text FORMAT") == text, "FORMAT is now\n{text}");

    let bytes = metadata::encode(&samples::metadata()).unwrap();
    check_dump("hex metadata", &bytes);
    assert_eq!(metadata::decode(&undump(fenced("hex metadata"))), Some(samples::metadata()));

    check_dump("hex durable", &watermark::encode(Seq::new(40_213)));

    let catalog = samples::catalog();
    check_dump("hex catalog", &catalog.encode().unwrap());
    assert_eq!(Catalog::decode(&undump(fenced("hex catalog"))), Some(catalog));

    let checkpoint = Checkpoint { token: samples::token(40_213), next: Seq::new(40_213) };
    let kept = Kept { checkpoint, ordinal: 17, gaps: 1 };
    check_dump("hex checkpoint", &kept.encode());
    assert_eq!(Kept::decode(&undump(fenced("hex checkpoint"))), Some(kept));

    let gap = samples::gap(40_213);
    check_dump("hex gap", &gap.encode(18).unwrap());
    assert_eq!(Gap::decode(&undump(fenced("hex gap"))), Some((18, gap)));
}

#[test]
fn the_block_is_as_shown() {
    let events = [rawdoc! {"_id": {"_data": "82"}, "n": 1}, samples::event(40_212)];
    let events: Vec<_> = events.iter().map(AsRef::as_ref).collect();
    let new = NewBlock {
        first: Seq::new(40_211),
        events: &events,
        arrival: samples::arrival(7),
        token: &samples::token(40_213),
        high: High::default(),
    };
    let (bytes, _) = BlockEncoder::new().unwrap().encode(&new).unwrap();
    let shown = undump(fenced("hex block"));
    let decode = |bytes: &[u8]| Decoder::new().unwrap().decode(bytes);
    let same = |block: &Block| {
        let shown: Vec<_> = block.events().map(|event| event.event.as_bytes().to_vec()).collect();
        shown.iter().zip(&events).all(|(shown, event)| shown == event.as_bytes())
            && block.events().all(|event| event.arrival == new.arrival)
            && (block.first(), block.len(), block.token()) == (new.first, 2, new.token)
    };
    // The body is zstd's, and may come out otherwise in another version of it; but what is
    // shown must stay readable, and its header be what we write.
    let header = block::Header::decode(&shown);
    let header_again = header.map(|header| {
        let mut again = Vec::new();
        header.encode_into(&mut again);
        again
    });
    let whole = header_again.is_ok_and(|again| shown.starts_with(&again))
        && decode(&shown).is_ok_and(|block| same(&block));
    assert!(whole, "block is now\n{}", dump(&bytes));
}

#[test]
fn the_segment_is_as_shown() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("segment");
    std::fs::write(&path, undump(fenced("hex segment"))).unwrap();
    let segment = Segment::open(&path);
    let shown = segment.is_ok_and(|segment| {
        let Footer { first, end, .. } = *segment.footer();
        let index = segment.index().unwrap();
        let totals = segment.totals().unwrap();
        let mut decoder = Decoder::new().unwrap();
        let mut events = index.0.iter().flat_map(|entry| {
            let block = segment.block(entry, &mut decoder).unwrap();
            block.events().map(|event| event.event.as_bytes().to_vec()).collect::<Vec<_>>()
        });
        (first, end) == (Seq::new(7), Seq::new(10))
            && (7..10).all(|n| events.next().unwrap() == samples::event(n).as_bytes())
            && (index.0.len(), totals.kinds.list.len(), totals.kinds.others) == (2, 2, 0)
            && totals.gaps == [samples::gap(7)]
            && totals.metadata == samples::metadata()
    });
    // The blocks are zstd's, and may come out otherwise in another version of it.
    let made = dir.path().join("made");
    samples::segment(&made);
    assert!(shown, "segment is now\n{}", dump(&std::fs::read(&made).unwrap()));
}
