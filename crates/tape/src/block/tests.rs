//! The codec: what goes in comes out, and nothing else passes for it.

use bson::raw::{RawDocument, RawDocumentBuf};

use changetape_core::{ClusterTime, WallTime};

use super::header::FIXED_LEN;

use super::*;
use crate::samples;

fn encode(first: u64, events: &[RawDocumentBuf], high: High) -> (Vec<u8>, High) {
    let events: Vec<&RawDocument> = events.iter().map(AsRef::as_ref).collect();
    let new = NewBlock {
        first: Seq::new(first),
        events: &events,
        arrival: samples::arrival(first),
        token: &samples::token(first + events.len() as u64),
        high,
    };
    BlockEncoder::new().unwrap().encode(&new).unwrap()
}

fn decode(bytes: &[u8]) -> Result<Block, BlockError> {
    Decoder::new().unwrap().decode(bytes)
}

fn small() -> Vec<u8> {
    let events: Vec<_> = (7..10).map(samples::event).collect();
    encode(7, &events, High::default()).0
}

/// A block as written but with another header, its checksum made to fit.
fn with_header(bytes: &[u8], change: impl FnOnce(&mut Header)) -> Vec<u8> {
    let mut header = Header::decode(bytes).unwrap();
    let body = &bytes[header.len()..];
    change(&mut header);
    let mut changed = Vec::new();
    header.encode_into(&mut changed);
    changed.extend_from_slice(body);
    changed
}

#[test]
fn events_come_out_as_they_went_in() {
    let events: Vec<_> = (100..400).map(samples::event).collect();
    let block = decode(&encode(100, &events, High::default()).0).unwrap();
    assert_eq!((block.first(), block.end(), block.len()), (Seq::new(100), Seq::new(400), 300));
    assert_eq!(block.token(), &samples::token(400));
    assert_eq!(block.raw_bytes(), events.iter().map(|e| e.as_bytes().len()).sum::<usize>());
    assert_eq!(block.events().len(), 300);
    for ((n, event), recorded) in (100..).zip(&events).zip(block.events()) {
        assert_eq!(recorded.seq, Seq::new(n));
        assert_eq!(recorded.arrival, samples::arrival(100));
        assert_eq!(recorded.event.as_bytes(), event.as_bytes());
    }
}

#[test]
fn every_flip_is_noticed() {
    let bytes = small();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            assert!(decode(&flipped).is_err(), "bit {bit} of byte {at}");
        }
    }
}

#[test]
fn every_cut_and_every_addition_is_noticed() {
    let bytes = small();
    for len in 0..bytes.len() {
        assert!(decode(&bytes[..len]).is_err(), "cut to {len}");
    }
    assert!(decode(&[&bytes[..], &[0]].concat()).is_err(), "one byte more");
}

#[test]
fn a_header_whose_checksum_fits_is_still_not_trusted() {
    type Change = fn(&mut Header);
    let bytes = small();
    let events = |header: &mut Header, count| {
        header.count = count;
        header.runs[0].events = count;
    };
    let changes: [(&str, Change); 13] = [
        ("more events than runs say", |h| h.count += 1),
        ("fewer events than runs say", |h| h.count -= 1),
        ("more events than fit", |h| h.count = u32::MAX),
        ("no events", |h| h.count = 0),
        ("a longer body", |h| h.raw_len += 1),
        ("a shorter body", |h| h.raw_len -= 1),
        ("a huge body", |h| h.raw_len = u32::MAX),
        ("a huge compressed body", |h| h.body_len = u32::MAX),
        ("no runs", |h| h.runs.clear()),
        ("an empty run", |h| h.runs.push(Run { events: 0, arrival: Arrival::default() })),
        ("a Seq beyond the last", |h| h.first = Seq::new(u64::MAX)),
        ("a wall time later than the latest", |h| {
            h.times.high.wall = h.times.wall.map(|(min, _)| min);
        }),
        ("no latest cluster time", |h| h.times.high.cluster = None),
    ];
    for (what, change) in changes {
        assert!(decode(&with_header(&bytes, change)).is_err(), "{what}");
    }
    for count in [2, 4] {
        let other = with_header(&bytes, |header| events(header, count));
        assert!(decode(&other).is_err(), "{count} events of 3");
    }
}

#[test]
fn a_body_larger_than_allowed_is_refused_before_it_is_decompressed() {
    let event = bson::rawdoc! {"x": "x".repeat(MAX_RAW_LEN / 2)};
    let events = [&event, &event].map(AsRef::as_ref);
    let new = NewBlock {
        first: Seq::ZERO,
        events: &events,
        arrival: samples::arrival(0),
        token: &samples::token(2),
        high: High::default(),
    };
    let (bytes, _) = BlockEncoder::new().unwrap().encode(&new).unwrap();
    assert!(matches!(decode(&bytes), Err(BlockError::Malformed(_))));
}

#[test]
fn random_fields_under_a_fitting_checksum_never_panic() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let bytes = small();
    let header_len = Header::decode(&bytes).unwrap().len();
    for _ in 0..20_000 {
        let mut changed = bytes.clone();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(4..header_len - 4);
            changed[at] = *random.choice([0, 1, 0x7F, 0x80, 0xFF].iter()).unwrap();
        }
        let crc = crc32fast::hash(&changed[..header_len - 4]);
        changed[header_len - 4..header_len].copy_from_slice(&crc.to_le_bytes());
        let _ = decode(&changed);
    }
}

#[test]
fn a_body_that_is_not_documents_is_refused() {
    for raw in [vec![0; 64], [16_i32.to_le_bytes().as_slice(), &[1; 12]].concat()] {
        let body = zstd::bulk::compress(&raw, 1).unwrap();
        let template = small();
        let mut header = Header::decode(&template).unwrap();
        header.count = 1;
        header.runs[0].events = 1;
        header.raw_len = u32::try_from(raw.len()).unwrap();
        header.body_len = u32::try_from(body.len()).unwrap();
        header.body_crc = crc32fast::hash(&body);
        let mut bytes = Vec::new();
        header.encode_into(&mut bytes);
        bytes.extend_from_slice(&body);
        assert!(matches!(decode(&bytes), Err(BlockError::Malformed(_))));
    }
}

#[test]
fn a_newer_block_is_told_from_a_damaged_one() {
    let mut bytes = small();
    let header_len = Header::decode(&bytes).unwrap().len();
    bytes[4] = 2;
    assert!(matches!(decode(&bytes), Err(BlockError::HeaderChecksum { .. })));
    let crc = crc32fast::hash(&bytes[..header_len - 4]);
    bytes[header_len - 4..header_len].copy_from_slice(&crc.to_le_bytes());
    assert!(matches!(decode(&bytes), Err(BlockError::TooNew { found: 2 })));
}

#[test]
fn each_event_keeps_the_arrival_of_its_batch_when_blocks_are_merged() {
    let merged = with_header(&small(), |header| {
        header.runs = vec![
            Run { events: 1, arrival: samples::arrival(1) },
            Run { events: 2, arrival: samples::arrival(2) },
        ];
    });
    let block = decode(&merged).unwrap();
    let arrivals: Vec<_> = block.events().map(|event| event.arrival).collect();
    assert_eq!(arrivals, [samples::arrival(1), samples::arrival(2), samples::arrival(2)]);
}

#[test]
fn the_header_knows_the_times_also_where_the_wall_clock_runs_backwards() {
    let wall = |millis| Some(WallTime::from_millis(millis));
    let events = [samples::event_at(1, 500), samples::event_at(2, 300), samples::event_at(3, 400)];
    let (bytes, high) = encode(1, &events, High { wall: wall(900), cluster: None });
    let header = Header::decode(&bytes).unwrap();
    assert_eq!(header.times.wall, wall(300).zip(wall(500)));
    assert_eq!(header.times.high, high);
    assert_eq!(high.wall, wall(900), "the latest before it stays the latest");
    let cluster = |increment| ClusterTime { seconds: 1, increment };
    assert_eq!(header.times.cluster, Some((cluster(2), cluster(4))));
    assert_eq!(high.cluster, Some(cluster(4)));
}

#[test]
fn an_event_without_a_wall_time_has_the_second_of_its_cluster_time() {
    let time = bson::Timestamp { time: 12, increment: 3 };
    let event = bson::rawdoc! {"_id": {}, "clusterTime": time};
    let expected = ClusterTime { seconds: 12, increment: 3 };
    assert_eq!(times(&event), (Some(WallTime::from_millis(12_000)), Some(expected)));
    assert_eq!(times(&bson::rawdoc! {"_id": {}}), (None, None));
    let (bytes, high) = encode(0, &[bson::rawdoc! {}], High::default());
    let header = Header::decode(&bytes).unwrap();
    assert_eq!((header.times.wall, header.times.cluster, high), (None, None, High::default()));
}

#[test]
fn batches_are_cut_at_the_target_and_large_events_stand_alone() {
    let small = samples::event(1);
    let large = bson::rawdoc! {"x": "x".repeat(TARGET_RAW_LEN)};
    let per_block = TARGET_RAW_LEN / small.as_bytes().len();
    let cut = |events: &[&RawDocumentBuf]| {
        let events: Vec<&RawDocument> = events.iter().copied().map(AsRef::as_ref).collect();
        split(&events).into_iter().map(|run| run.len()).collect::<Vec<_>>()
    };
    assert!(cut(&[]).is_empty());
    assert_eq!(cut(&[&large]), [1]);
    assert_eq!(cut(&[&small, &large, &large, &small]), [1, 1, 1, 1]);
    let runs = cut(&vec![&small; per_block * 5 / 2]);
    assert_eq!((runs.len(), runs.iter().sum::<usize>()), (3, per_block * 5 / 2));
    assert!(runs.iter().all(|run| *run > per_block * 4 / 5), "none is short: {runs:?}");
    let fifth = bson::rawdoc! {"x": "x".repeat(TARGET_RAW_LEN / 5 - 100)};
    assert_eq!(cut(&[&fifth; 21]), [5, 4, 4, 4, 4]);
    let whole = TARGET_RAW_LEN / fifth.as_bytes().len();
    assert_eq!(cut(&vec![&fifth; whole]), [whole], "what fits stays together");
}

#[test]
fn the_largest_event_fits() {
    let text = MAX_EVENT_LEN - bson::rawdoc! {"x": ""}.as_bytes().len();
    let event = bson::rawdoc! {"x": "x".repeat(text)};
    assert_eq!(event.as_bytes().len(), MAX_EVENT_LEN);
    let block = decode(&encode(0, std::slice::from_ref(&event), High::default()).0).unwrap();
    assert_eq!(block.events().next().unwrap().event.as_bytes(), event.as_bytes());
    assert_eq!(FIXED_LEN, 92, "the document says so");
}

#[test]
fn blocks_may_cross_threads() {
    fn send<T: Send>() {}
    send::<Block>();
}
