//! What a tape remembers of its source, and who may continue it.

use bson::rawdoc;

use super::*;
use crate::samples;

#[test]
fn the_file_says_what_was_written_and_nothing_else() {
    let mut metadata = samples::metadata();
    metadata.source.replica_set_id = None;
    metadata.stream.full_document = None;
    for metadata in [metadata, samples::metadata()] {
        let bytes = file::encode(&metadata).unwrap();
        assert_eq!(file::decode(&bytes), Some(metadata));
        for at in 0..bytes.len() {
            assert_eq!(file::decode(&bytes[..at]), None, "cut to {at}");
            let mut flipped = bytes.clone();
            flipped[at] ^= 4;
            assert_eq!(file::decode(&flipped), None, "flipped at {at}");
        }
    }
}

#[test]
fn whoever_differs_is_told_in_what_and_how() {
    let metadata = samples::metadata();
    let continues = |change: &dyn Fn(&mut SourceIdentity, &mut StreamOptions)| {
        let (mut source, mut stream) = (metadata.source.clone(), metadata.stream.clone());
        change(&mut source, &mut stream);
        match metadata.check_continues(&source, &stream) {
            Ok(()) => String::new(),
            Err(error) => error.to_string(),
        }
    };
    assert_eq!(continues(&|_, _| ()), "");
    assert_eq!(continues(&|source, _| source.server_version = "9.0".into()), "");
    assert_eq!(continues(&|source, _| source.replica_set_id = None), "");
    assert_eq!(continues(&|_, stream| stream.filter.include.reverse()), "");
    assert_eq!(continues(&|_, stream| stream.operations.reverse()), "");

    let id = metadata.source.replica_set_id.unwrap();
    let other = continues(&|source, _| source.replica_set_id = Some(ObjectId::from_bytes([9; 12])));
    assert_eq!(
        other,
        format!(
            "the tape's deployment is replica set rs0 (id {id}), but now it is replica set rs0 \
             (id {}); record onto a new tape, or as the tape was begun",
            "09".repeat(12)
        )
    );
    for (expected, found) in [
        ("replica set rs0", continues(&|source, _| source.replica_set = "rs1".into())),
        (
            "namespace filter is audit.*, shop.* without shop.tmp*, but now it is every namespace",
            continues(&|_, stream| stream.filter = NamespaceFilter::default()),
        ),
        (
            "operation filter is insert, update, but now it is every operation",
            continues(&|_, stream| stream.operations.clear()),
        ),
        (
            r#"pipeline is [{ "$match": { "a": 1 } }], but now it is [{ "$match": { "a": 2 } }]"#,
            continues(&|_, stream| stream.pipeline = vec![rawdoc! {"$match": {"a": 2}}]),
        ),
        (
            "pipeline is",
            continues(&|_, stream| stream.pipeline = vec![rawdoc! {"$match": {"a": 1_i64}}]),
        ),
        (
            "update form is raw, but now it is public",
            continues(&|_, stream| stream.updates = UpdateForm::Public),
        ),
        (
            "fullDocument is updateLookup, but now it is not set",
            continues(&|_, stream| stream.full_document = None),
        ),
        (
            "fullDocumentBeforeChange is not set, but now it is required",
            continues(&|_, stream| stream.full_document_before_change = Some("required".into())),
        ),
    ] {
        assert!(found.contains(expected), "{found}");
    }
}
