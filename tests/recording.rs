//! Goal: a recording begins where it is told, ends where it is told, takes what it is told, and
//! goes on without a seam.
//!
//! Method: a seeded workload on a real server; the program records it in pieces and narrowed in
//! every way; what is on the tape is compared with the stream read straight from the server and
//! selected here.

use bson::raw::RawDocumentBuf;
use changetape_core::{ChangeEvent, NamespaceFilter, OperationType};
use changetape_testkit::ReplicaSet;
use changetape_testkit::workload::OrderShop;
use tempfile::tempdir;

use crate::program::{run, tape_events, text};
use crate::stream;

/// A source with a shop's trade in its oplog, and the stream of it.
async fn traded() -> (ReplicaSet, String, Vec<RawDocumentBuf>) {
    let source = ReplicaSet::single().start().await.unwrap();
    let client = source.client().unwrap();
    let begin = stream::present(&client).await;
    OrderShop::new(changetape_testkit::seed()).steps(150).run(&client).await.unwrap();
    let events = stream::read(&client, stream::raw_and_expanded(), begin).await;
    (source, stream::since(begin), events)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_in_pieces_has_no_seams() {
    let (source, since, expected) = traded().await;
    let directory = tempdir().unwrap();
    let tape = directory.path().join("pieces.tape");
    let uri = source.uri();
    let args = ["record", &uri, text(&tape), "--since", &since, "--stop-when-idle", "2s"];
    // Batches are larger than a piece: each piece ends inside one, with the token of its event.
    for piece in [1, 2, 37] {
        let mut args = args.to_vec();
        let count = piece.to_string();
        args.extend(["--count", &count, "--format", "json"]);
        let recorded = run(&args).expect_code(0).json();
        assert_eq!((&recorded["events"], &recorded["ending"]), (&piece.into(), &"count".into()));
    }
    let ran = run(&args).expect_code(0);
    assert!(ran.stderr.contains("continues there, whatever --since says"), "{}", ran.stderr);
    stream::assert_same(&tape_events(&tape), &expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_tape_begins_where_it_is_told() {
    let (source, _, events) = traded().await;
    let directory = tempdir().unwrap();
    let middle = ChangeEvent::from(events[events.len() / 2].as_ref());
    let cluster_time = middle.cluster_time().unwrap().unwrap();
    let second = cluster_time.wall_time();
    let after = |keep: &dyn Fn(&ChangeEvent<'_>) -> bool| {
        events.iter().filter(|raw| keep(&ChangeEvent::from(raw.as_ref()))).cloned().collect()
    };
    let at_or_after = |event: &ChangeEvent<'_>| event.cluster_time().unwrap().unwrap();
    let from_token = events[events.len() / 2 + 1..].to_vec();
    for (since, expected) in [
        (middle.token().unwrap().to_string(), from_token),
        (cluster_time.to_string(), after(&|event| at_or_after(event) >= cluster_time)),
        (second.to_string(), after(&|event| at_or_after(event).seconds >= cluster_time.seconds)),
    ] {
        let tape = directory.path().join(format!("{}.tape", since.len()));
        let args = ["record", &source.uri(), text(&tape), "--since", &since];
        run(&[&args[..], &["--stop-when-idle", "2s"]].concat()).expect_code(0);
        assert!(!expected.is_empty(), "{since}");
        stream::assert_same(&tape_events(&tape), &expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_takes_what_it_is_told() {
    let (source, since, events) = traded().await;
    let directory = tempdir().unwrap();
    let patterns = |patterns: &[&str]| patterns.iter().map(|p| p.parse().unwrap()).collect();
    let covered = |include: &[&str], exclude: &[&str]| {
        let filter = NamespaceFilter { include: patterns(include), exclude: patterns(exclude) };
        let covered = move |raw: &RawDocumentBuf| {
            let event = ChangeEvent::from(raw.as_ref());
            let names = [event.namespace().unwrap(), event.renamed_to().unwrap()];
            names.into_iter().flatten().any(|ns| filter.matches(&ns))
        };
        events.iter().filter(|raw| covered(raw)).cloned().collect::<Vec<_>>()
    };
    let of_type = |kinds: &[OperationType]| {
        let kind = |raw: &RawDocumentBuf| ChangeEvent::from(raw.as_ref()).operation_type().unwrap();
        events.iter().filter(|raw| kinds.contains(&kind(raw))).cloned().collect::<Vec<_>>()
    };
    let deletes = of_type(&[OperationType::Delete]);
    let pipeline = r#"{"$match": {"operationType": "delete"}}"#;
    for (number, (flags, expected)) in [
        (vec!["--include", "shop.orders"], covered(&["shop.orders"], &[])),
        (vec!["--include", "shop"], covered(&["shop"], &[])),
        (vec!["--include", "*.archive*"], covered(&["*.archive*"], &[])),
        (vec!["--exclude", "shop.orders"], covered(&[], &["shop.orders"])),
        (
            vec!["--exclude", "shop.orders", "--exclude", "shop.stock,*.v*"],
            covered(&[], &["shop.orders", "shop.stock", "*.v*"]),
        ),
        (vec!["--include", "shop*", "--exclude", "*.o*"], covered(&["shop*"], &["*.o*"])),
        (vec!["--op", "insert,rename"], of_type(&[OperationType::Insert, OperationType::Rename])),
        (vec!["--pipeline", pipeline], deletes),
    ]
    .into_iter()
    .enumerate()
    {
        let tape = directory.path().join(format!("{number}.tape"));
        let uri = source.uri();
        let mut args = vec!["record", &uri, text(&tape), "--since", &since];
        args.extend(["--stop-when-idle", "2s"]);
        args.extend(&flags);
        run(&args).expect_code(0);
        assert!(!expected.is_empty() && expected.len() < events.len(), "{flags:?}");
        println!("{flags:?}: {} of {} events", expected.len(), events.len());
        stream::assert_same(&tape_events(&tape), &expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn updates_are_recorded_in_the_form_that_is_asked_for() {
    let (source, since, events) = traded().await;
    let directory = tempdir().unwrap();
    let tape = directory.path().join("public.tape");
    let uri = source.uri();
    let mut args = vec!["record", &uri, text(&tape), "--since", &since];
    args.extend(["--stop-when-idle", "2s", "--updates", "public", "--format", "json"]);
    let recorded = run(&args).expect_code(0).json();
    assert_eq!(recorded["updates"], "public");
    let public = tape_events(&tape);
    assert_eq!(public.len(), events.len());
    let updates = public.iter().map(|raw| ChangeEvent::from(raw.as_ref())).filter(|event| {
        assert_eq!(event.raw_update().unwrap(), None);
        event.update_description().unwrap().is_some()
    });
    assert!(updates.count() > 10);
}
