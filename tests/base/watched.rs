//! What a recorder says of its base while it takes it: a line of progress, and its pages.

use super::*;
use crate::watched::Recorder;

#[tokio::test(flavor = "multi_thread")]
async fn a_base_shows_how_far_it_is() {
    let (source, client) = hold::source().await;
    let directory = tempdir().unwrap();
    let tape = directory.path().join("watched.tape");
    let hold = hold::reading(&client).await;
    let recorder = Recorder::start(&source.uri(), &tape, &["--snapshot"]);
    hold.reached().await;

    let (first, all) = (f64::from(hold::FIRST), f64::from(hold::DOCUMENTS));
    recorder
        .until("its first batch written", |figures| figures.get("base_documents") == Some(&first));
    let figures = recorder.figures();
    assert!(figures["state{state=\"taking_base\"}"] > 0.5, "{figures:?}");
    assert_eq!(figures.get("base_estimated_documents"), Some(&all));
    assert!(figures["base_bytes"] > first * 1_500.0, "{figures:?}");
    assert_eq!(figures.get("source_away_seconds"), Some(&0.0));
    // Held, it does not get on, and that is told.
    recorder.until("it stands still", |figures| figures["base_standstill_seconds"] > 0.5);
    assert_eq!(recorder.get("/healthz"), (200, "taking the base\n".to_owned()));
    recorder.until_said("5% taking the base: 101 of about 2 000 documents, ");

    hold.end().await;
    recorder.until("recording", |figures| figures["state{state=\"recording\"}"] > 0.5);
    let figures = recorder.figures();
    assert_eq!((figures["base_documents"], figures.get("base_standstill_seconds")), (all, None));
}
