//! What is written is what is read, and nothing else passes for it.

use super::*;
use crate::samples;

#[test]
fn what_is_written_is_what_is_read() {
    for catalog in [samples::catalog(), Catalog::default()] {
        assert_eq!(Catalog::decode(&catalog.encode().unwrap()), Some(catalog));
    }
    let catalog = samples::catalog();
    assert_eq!(catalog.start(), Seq::new(5));
    assert_eq!((catalog.position(Seq::new(9)), catalog.position(Seq::new(12))), (0, 1));
    assert_eq!(catalog.disk_len(), 2000);
    assert_eq!(catalog.checkpoint().unwrap().next, Seq::new(40));
}

#[test]
fn segments_that_do_not_follow_one_another_are_refused() {
    let sound = samples::catalog();
    let refused = |change: &dyn Fn(&mut Catalog)| {
        let mut catalog = sound.clone();
        change(&mut catalog);
        assert_eq!(Catalog::decode(&catalog.encode().unwrap()), None, "{catalog:?}");
    };
    refused(&|catalog| catalog.segments.swap(0, 1));
    refused(&|catalog| catalog.segments.truncate(1));
    refused(&|catalog| catalog.next = Seq::new(41));
    refused(&|catalog| catalog.gaps.clear());
    refused(&|catalog| catalog.segments[1].first = Seq::new(16));
    refused(&|catalog| catalog.segments[0].end = Seq::new(5));
    refused(&|catalog| catalog.segments[0].blocks = 6);
    refused(&|catalog| catalog.segments[0].raw_bytes = u64::MAX);
}

#[test]
fn a_tape_without_its_catalog_is_damaged() {
    let tape = tempfile::tempdir().unwrap();
    assert!(matches!(read(tape.path()), Err(Error::Damaged { .. })));
    write(tape.path(), &samples::catalog()).unwrap();
    assert_eq!(read(tape.path()).unwrap(), samples::catalog());
    write(tape.path(), &Catalog::default()).unwrap();
    assert_eq!(read(tape.path()).unwrap(), Catalog::default());
}
