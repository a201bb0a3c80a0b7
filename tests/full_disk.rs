//! Goal: a recording whose disk is full ends with a sentence that says so, keeps everything that
//! it has acknowledged, and goes on without a gap once there is room.
//!
//! Method: `changetape record` records from a real server onto a file system of some megabytes
//! (see [`place`]), which is filled by the tape itself, or by somebody else's file while the
//! recorder waits for events. What is on the tape is compared with the stream read straight from
//! the server, before and after there is room again. Where a test may not mount anything, and
//! also where it may, files that may not grow beyond some megabytes stand in: the kernel then
//! refuses the same calls after they were made, only for another reason.

mod place;

use std::path::Path;

use bson::Document;
use bson::raw::RawDocumentBuf;
use changetape_testkit::ReplicaSet;
use mongodb::Collection;

use crate::incompressible::insert;
use crate::program::{Ran, ran, run, tape_events, text};
use crate::stream;
use crate::watched::{Figures, Recorder};
use place::{Place, places};

/// So many documents that there is no room for them.
const MUCH: usize = 1400;

fn orders(source: &ReplicaSet) -> Collection<Document> {
    source.client().unwrap().database("shop").collection("orders")
}

/// Checks what a recorder left that found no room: as much as its tape holds is right, and the
/// last word on it. Returns how many events that are.
fn check_ended(place: &Place, ran: &Ran, stream: &[RawDocumentBuf]) -> usize {
    let errors = ran.stderr.lines().filter(|line| line.starts_with("error: ")).count();
    assert_eq!(errors, 1, "{}", ran.stderr);
    for words in place.complaint() {
        assert!(ran.sentence().contains(words), "{}", ran.stderr);
    }
    let tape = place.tape();
    if place.stays_full() {
        // There was room set aside for that, so nobody has to seal it later.
        assert_eq!(std::fs::read_dir(tape.join("log")).unwrap().count(), 0, "not all is sealed");
    }
    let events = tape_events(&tape);
    assert!(events.len() < stream.len(), "there was room for all {} events", stream.len());
    stream::assert_same(&events, &stream[..events.len()]);
    check_sound(&tape, events.len());
    events.len()
}

/// Checks that a tape is whole, and ends with as many events.
fn check_sound(tape: &Path, events: usize) {
    run(&["verify", text(tape)]).expect_code(0);
    let info = run(&["info", text(tape), "--format", "json"]).expect_code(0).json();
    assert_eq!((&info["events"], &info["endSeq"]), (&events.into(), &events.into()), "{info}");
    assert_eq!((&info["gaps"], &info["dropped"]), (&serde_json::json!([]), &().into()), "{info}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tape_that_fills_its_disk_is_kept_and_goes_on_when_there_is_room() {
    let source = ReplicaSet::single().start().await.unwrap();
    let client = source.client().unwrap();
    let begin = stream::present(&client).await;
    let since = stream::since(begin);
    insert(&orders(&source), MUCH).await;
    let expected = stream::read(&client, stream::raw_and_expanded(), begin).await;
    let uri = source.uri();
    // Sealed many times before the disk is full, or not once.
    for segment_size in ["1MiB", "256MiB"] {
        for mut place in places() {
            if segment_size == "1MiB" && !place.stays_full() {
                // None of its files becomes large.
                continue;
            }
            println!("{place}, segments of {segment_size}");
            let tape = place.tape();
            let mut args = vec!["record", &uri, text(&tape), "--since", &since];
            args.extend(["--stop-when-idle", "2s", "--segment-size", segment_size]);
            // A full reply alone could fill the disk.
            args.extend(["--batch-size", "20"]);
            let ended = ran(place.changetape(&args).output().unwrap()).expect_code(1);
            let events = check_ended(&place, &ended, &expected);
            assert!(events > 100, "{events} events");
            if place.stays_full() {
                let again = ran(place.changetape(&args).output().unwrap()).expect_code(1);
                assert!(check_ended(&place, &again, &expected) >= events);
            }

            place.make_room();
            let recorded = ran(place.changetape(&args).output().unwrap()).expect_code(0);
            assert!(recorded.stderr.contains("continues there"), "{}", recorded.stderr);
            stream::assert_same(&tape_events(&tape), &expected);
            check_sound(&tape, expected.len());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_others_fill_costs_nothing_that_was_acknowledged() {
    let source = ReplicaSet::single().start().await.unwrap();
    let client = source.client().unwrap();
    let uri = source.uri();
    for mut place in places() {
        println!("{place}");
        let tape = place.tape();
        let begin = stream::present(&client).await;
        let since = stream::since(begin);
        let args = ["record", &uri, text(&tape), "--since", &since];
        let recorder = Recorder::spawn(place.changetape(&args));
        insert(&orders(&source), 100).await;
        let durable = |figures: &Figures| figures.get("last_durable_seq") >= Some(&99.0);
        let figures = recorder.until("recorded", durable);
        place.fill();
        insert(&orders(&source), MUCH).await;
        let ended = recorder.end().expect_code(1);
        let expected = stream::read(&client, stream::raw_and_expanded(), begin).await;
        let events = check_ended(&place, &ended, &expected);
        let held = f64::from(u32::try_from(events).unwrap());
        assert!(held > figures["last_durable_seq"], "{events} events; {figures:?}");

        place.make_room();
        let args = [&args[..], &["--stop-when-idle", "2s"]].concat();
        ran(place.changetape(&args).output().unwrap()).expect_code(0);
        stream::assert_same(&tape_events(&tape), &expected);
        check_sound(&tape, expected.len());
    }
}
