//! Goal: reading with a selection finds every event that is sought, and leaves blocks out that
//! hold none, without reading them.
//! Method: random tapes of events with few or many namespaces and operations, some without, and
//! renames, over several segments, which may have been merged; for random selections, what is read and then filtered event
//! by event is compared with filtering the whole tape, and blocks are counted. Blocks that are
//! damaged show that they are not read. The seed is printed.

use std::path::Path;

use bson::raw::RawDocumentBuf;
use bson::rawdoc;
use changetape_core::{ChangeEvent, Namespace, OperationType, Seq};
use changetape_tape::{Block, TapeReader};

use crate::image::Image;
use crate::samples;

/// So long that a handful of events fill a sealed block.
const PAD: usize = 60_000;

const OPERATIONS: [&str; 6] = ["insert", "update", "delete", "rename", "create", "ours"];

fn random_namespace(random: &mut fastrand::Rng, few: bool) -> RawDocumentBuf {
    let db = ["shop", "audit"][random.usize(0..2)];
    if random.u8(..) < 20 {
        return rawdoc! {"db": db};
    }
    rawdoc! {"db": db, "coll": format!("c{}", random.u8(0..if few { 3 } else { 200 }))}
}

/// Neighbours are often alike, so that there are blocks of one kind.
fn random_events(random: &mut fastrand::Rng, len: u64, few: bool) -> Vec<RawDocumentBuf> {
    let mut events = Vec::new();
    let mut ns = random_namespace(random, few);
    let mut operation = "insert";
    for n in 0..len {
        if random.u8(..) < 60 {
            ns = random_namespace(random, few);
            operation = OPERATIONS[random.usize(0..OPERATIONS.len())];
        }
        let mut event = rawdoc! {"_id": {"_data": format!("82{n:016X}")}};
        if random.u8(..) > 5 {
            event.append(bson::cstr!("operationType"), operation);
        }
        match random.u8(..) {
            0..6 => {}
            6 => event.append(bson::cstr!("ns"), "not a namespace"),
            _ => event.append(bson::cstr!("ns"), ns.clone()),
        }
        if operation == "rename" && random.u8(..) > 5 {
            event.append(bson::cstr!("to"), random_namespace(random, few));
        }
        event.append(bson::cstr!("pad"), "x".repeat(random.usize(0..PAD)));
        events.push(event);
    }
    events
}

/// Which events are sought: any of these namespaces, if there are some, and of these operations.
#[derive(Debug)]
struct Sought {
    namespaces: Vec<Namespace>,
    operations: Vec<OperationType>,
    /// Whether what has no namespace, or no operation type, is sought.
    bare: bool,
}

impl Sought {
    fn random(random: &mut fastrand::Rng, few: bool) -> Self {
        let namespace = |random: &mut fastrand::Rng| {
            let ns = random_namespace(random, few);
            let coll = ns.get_str("coll").ok().map(str::to_owned);
            Namespace { db: ns.get_str("db").unwrap().to_owned(), coll }
        };
        let namespaces = (0..random.usize(0..4)).map(|_| namespace(random)).collect();
        let operation = |random: &mut fastrand::Rng| {
            OperationType::from(OPERATIONS[random.usize(0..OPERATIONS.len())])
        };
        let operations = (0..random.usize(0..3)).map(|_| operation(random)).collect();
        Self { namespaces, operations, bare: random.bool() }
    }

    fn keeps(&self, ns: Option<&Namespace>, operation: Option<&OperationType>) -> bool {
        let by_namespace =
            ns.map_or(self.bare, |ns| self.namespaces.is_empty() || self.namespaces.contains(ns));
        by_namespace
            && operation.map_or(self.bare, |operation| {
                self.operations.is_empty() || self.operations.contains(operation)
            })
    }

    /// Whether an event is sought; `None` if it cannot be told.
    fn covers(&self, event: &ChangeEvent<'_>) -> Option<bool> {
        let operation = event.operation_type().ok();
        let ns = event.namespace().ok()?;
        let renamed = match operation {
            Some(OperationType::Rename) => event.renamed_to().ok()?,
            _ => None,
        };
        let by_name = renamed.is_some_and(|to| self.keeps(Some(&to), operation.as_ref()));
        Some(by_name || self.keeps(ns.as_ref(), operation.as_ref()))
    }

    /// Whether a block holds an event that is sought, or may be.
    fn may_be_in(&self, block: &Block) -> bool {
        block.events().any(|recorded| {
            let event = &recorded.event;
            let renamed = event.operation_type().ok() == Some(OperationType::Rename)
                && event.renamed_to().ok().flatten().is_none();
            renamed || self.covers(event).unwrap_or(true)
        })
    }

    /// The places of the events of a block that are sought.
    fn in_block(&self, block: &Block, from: Seq) -> Vec<Seq> {
        let covered = block.events().filter(|recorded| self.covers(&recorded.event) == Some(true));
        covered.map(|recorded| recorded.seq).filter(|seq| *seq >= from).collect()
    }
}

fn random_tape(path: &Path, random: &mut fastrand::Rng, few: bool) {
    let len = random.u64(60..200);
    let events = random_events(random, len, few);
    let options = samples::of_size(1);
    let mut writer = options.create(path, samples::metadata()).unwrap();
    let mut next = 0;
    while next < events.len() {
        let end = (next + random.usize(1..12)).min(events.len());
        samples::append_events(&mut writer, next as u64, &events[next..end]).unwrap();
        next = end;
        if random.u8(..) < 30 {
            writer.close().unwrap();
            writer = options.open(path).unwrap();
        }
    }
    writer.close().unwrap();
    if random.bool() {
        let summary = || TapeReader::open(path).unwrap().summary().unwrap();
        // As large as all together, so that all become one.
        let before = summary();
        let image = Image::of(path);
        let segments = image.names("segments/");
        let lens: Vec<usize> = segments.iter().map(|name| image.0[name].len()).collect();
        let together: usize = lens.iter().sum();
        samples::of_size(together as u64).open(path).unwrap().close().unwrap();
        let merged = summary();
        let one_is_most_of_it = lens.iter().any(|len| len * 2 > together);
        assert!(merged.segments < before.segments || one_is_most_of_it, "{lens:?}");
        assert_eq!(merged.namespaces, before.namespaces);
    }
    samples::check_sound(path);
}

fn blocks(reader: &TapeReader, from: Seq) -> Vec<Block> {
    reader.blocks(from).map(Result::unwrap).collect()
}

#[test]
fn what_is_kept_holds_what_is_sought_and_nothing_is_read_in_vain() {
    let mut random = samples::seeded();
    let (mut read, mut left_out, mut found) = (0, 0, 0);
    for few in [true, false, true] {
        let dir = samples::in_memory_dir();
        let path = dir.path().join("orders.tape");
        random_tape(&path, &mut random, few);
        let reader = TapeReader::open(&path).unwrap();
        for _ in 0..40 {
            let sought = Sought::random(&mut random, few);
            let from = Seq::new(random.u64(0..reader.end().get()));
            let all = blocks(&reader, from);
            let mut kept = reader.blocks(from).keeping(|ns, operation| sought.keeps(ns, operation));
            let mut places = Vec::new();
            let mut expected_blocks = all.iter().filter(|block| sought.may_be_in(block));
            while let Some(block) = kept.next() {
                let block = block.unwrap();
                assert_eq!(kept.position(), block.end());
                let expected = expected_blocks.next().map(Block::first);
                assert_eq!(Some(block.first()), expected, "{sought:?}");
                places.extend(sought.in_block(&block, from));
                read += 1;
            }
            assert_eq!(kept.position(), reader.end());
            assert!(expected_blocks.next().is_none(), "{sought:?}: a block is missing");
            let expected: Vec<Seq> =
                all.iter().flat_map(|block| sought.in_block(block, from)).collect();
            assert_eq!(places, expected, "{sought:?}");
            left_out += all.iter().filter(|block| !sought.may_be_in(block)).count();
            found += expected.len();
        }
    }
    println!("{read} blocks read, {left_out} left out, {found} events found");
    assert!(read > 100 && left_out > 100 && found > 100);
}

#[test]
fn what_is_left_out_is_not_read() {
    let dir = samples::in_memory_dir();
    let path = dir.path().join("orders.tape");
    // Three blocks in one segment: orders, stock, orders.
    let event = |coll: &str| {
        let ns = rawdoc! {"db": "shop", "coll": coll};
        rawdoc! {"_id": {}, "operationType": "insert", "ns": ns, "pad": "x".repeat(400_000)}
    };
    let events = [event("orders"), event("stock"), event("orders")];
    let mut writer = samples::of_size(1 << 20).create(&path, samples::metadata()).unwrap();
    samples::append_each(&mut writer, &events);
    writer.close().unwrap();
    let image = Image::of(&path);
    let [segment] = &image.names("segments/")[..] else { panic!("{:?}", image.0.keys()) };
    let [_, stock, _] = &image.blocks(segment)[..] else { panic!("not three blocks") };
    image.with(segment, |bytes| bytes[stock.bytes.end - 1] ^= 1).restore(&path);
    let reader = TapeReader::open(&path).unwrap();
    let keeping = |coll: &'static str| {
        let wanted = Namespace::collection("shop", coll);
        reader.blocks(Seq::ZERO).keeping(move |ns, _| ns == Some(&wanted))
    };
    let orders: Vec<Block> = keeping("orders").map(Result::unwrap).collect();
    assert_eq!(orders.iter().map(Block::first).collect::<Vec<_>>(), [Seq::ZERO, Seq::new(2)]);
    assert!(keeping("stock").next().unwrap().is_err());
    assert!(keeping("customers").next().is_none());
    assert!(reader.blocks(Seq::ZERO).any(|block| block.is_err()));
}
