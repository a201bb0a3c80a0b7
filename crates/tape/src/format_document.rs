//! Goal: `docs/tape-format.md` and the code say the same.
//! Method: tables marked *checked* are compared with the code's constants; each dump is what
//! the code encodes, and decodes to what was encoded. A failure prints what the code says.

use std::fmt::Write;

use bson::rawdoc;
use changetape_core::Seq;

use crate::block::{self, Block, BlockEncoder, Decoder, High, NewBlock};
use crate::closed::Closed;
use crate::{Checkpoint, FORMAT_VERSION, format, log, metadata, samples, watermark};

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
fn the_limits_are_those_of_the_table() {
    let limits: Vec<usize> =
        table("| limit | value |").iter().map(|row| row[1].parse().unwrap()).collect();
    let expected = [
        block::MAX_RAW_LEN,
        block::TARGET_RAW_LEN,
        block::MAX_RUNS,
        block::MAX_TOKEN_LEN,
        log::SEGMENT_SIZE,
    ];
    assert_eq!(limits, expected);
    assert_eq!(block::MAX_EVENT_LEN, block::MAX_RAW_LEN);
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

    let checkpoint = Checkpoint { token: samples::token(40_213), next: Seq::new(40_213) };
    check_dump("hex checkpoint", &checkpoint.encode());
    assert_eq!(Checkpoint::decode(&undump(fenced("hex checkpoint"))), Some(checkpoint));

    let tape = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(tape.path().join("log/blobs")).unwrap();
    std::fs::write(tape.path().join("log/blobs/705"), "large").unwrap();
    std::fs::write(tape.path().join("log/db"), b"content\0\0\0").unwrap();
    Closed::of(tape.path(), Seq::new(40_213)).unwrap().write(tape.path()).unwrap();
    let text = std::fs::read_to_string(tape.path().join("closed")).unwrap();
    assert!(fenced("text closed") == text, "closed is now\n{text}");
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
