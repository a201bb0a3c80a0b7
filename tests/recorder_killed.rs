//! Goal: whatever moment a recorder is killed at, the tape goes on without loss or duplicate.
//!
//! Method: a seeded workload writes all the while. The recorder is started and killed with
//! SIGKILL after a random time, again and again; some kills hit it before it has connected,
//! most while it appends. A last run records the rest. Then the same stream is read once,
//! without interruption, from the same beginning: tape and stream must be equal, event for
//! event, byte for byte, tokens included.

use std::time::Duration;

use changetape_testkit::ReplicaSet;
use changetape_testkit::workload::{Pace, RandomDocuments};
use tempfile::tempdir;

use crate::program::{run, start, tape_events, text};
use crate::stream;

const KILLS: u32 = 60;

/// Long enough that a recorder connects, opens its stream and appends several times.
const LONGEST_LIFE_MILLIS: u64 = 900;

#[tokio::test(flavor = "multi_thread")]
async fn a_recorder_killed_at_random_loses_and_repeats_nothing() {
    let seed = changetape_testkit::seed();
    let mut rng = fastrand::Rng::with_seed(seed);
    let source = ReplicaSet::single().start().await.unwrap();
    let client = source.client().unwrap();
    let begin = stream::present(&client).await;
    let since = format!("{}:{}", begin.time, begin.increment);

    let writing = tokio::spawn({
        let client = client.clone();
        async move {
            // Rounds until the test ends the task: the workload outlives the last kill.
            for round in 0.. {
                let workload = RandomDocuments::new(seed.wrapping_add(round))
                    .database(&format!("random{round}"))
                    .operations(400)
                    .pace(Pace::Over(Duration::from_secs(2)));
                workload.run(&client).await.unwrap();
            }
        }
    });

    let directory = tempdir().unwrap();
    let tape = directory.path().join("killed.tape");
    let args = ["record", &source.uri(), text(&tape), "--since", &since, "--quiet"];
    let (mut kills_that_left_more, mut held) = (0, 0);
    for _ in 0..KILLS {
        let mut recorder = start(&args);
        tokio::time::sleep(Duration::from_millis(rng.u64(0..LONGEST_LIFE_MILLIS))).await;
        assert_eq!(recorder.try_wait().unwrap(), None, "the recorder ended by itself");
        recorder.kill().unwrap();
        recorder.wait().unwrap();
        if changetape_tape::tape_exists(&tape) {
            let holds = tape_events(&tape).len();
            assert!(holds >= held, "the tape shrank from {held} to {holds} events");
            kills_that_left_more += u32::from(holds > held);
            held = holds;
        }
    }
    writing.abort();
    // Cancelled in the middle of whatever it wrote; the stream tells what came through.
    assert!(writing.await.unwrap_err().is_cancelled());
    // If most kills came before anything was appended, the test would show little.
    assert!(kills_that_left_more >= KILLS / 4, "only {kills_that_left_more} kills mattered");

    let mut last = args.to_vec();
    last.extend(["--stop-when-idle", "2s"]);
    run(&last).expect_code(0);

    let expected = stream::read(&client, stream::raw_and_expanded(), begin).await;
    println!("{} events, {kills_that_left_more} of {KILLS} kills left more", expected.len());
    stream::assert_same(&tape_events(&tape), &expected);
}
