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
use tokio::sync::watch;

use crate::program::{run, start, tape_events, text};
use crate::stream;

const KILLS: u32 = 60;

/// How many kills at least come after something was appended, or the test would show little.
const KILLS_THAT_LEFT_MORE: u32 = KILLS / 4;

/// Long enough that a recorder connects, opens its stream and appends several times, unless the
/// machine is busy: then it grows by a step with each that did not.
const LONGEST_LIFE_MILLIS: u64 = 900;
const LIFE_STEP_MILLIS: u64 = 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_recorder_killed_at_random_loses_and_repeats_nothing() {
    let seed = changetape_testkit::seed();
    let mut rng = fastrand::Rng::with_seed(seed);
    let source = ReplicaSet::single().start().await.unwrap();
    let client = source.client().unwrap();
    let begin = stream::present(&client).await;
    let since = stream::since(begin);

    let (done, killed) = watch::channel(false);
    let writing = tokio::spawn({
        let client = client.clone();
        async move {
            // Rounds until the test says so: the workload outlives the last kill.
            for round in (0..).take_while(|_| !*killed.borrow()) {
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
    let (mut kills, mut kills_that_left_more, mut held) = (0, 0, 0);
    let mut longest_life = LONGEST_LIFE_MILLIS;
    while kills < KILLS || kills_that_left_more < KILLS_THAT_LEFT_MORE {
        let mut recorder = start(&args);
        tokio::time::sleep(Duration::from_millis(rng.u64(0..longest_life))).await;
        assert_eq!(recorder.try_wait().unwrap(), None, "the recorder ended by itself");
        assert!(!writing.is_finished(), "nobody writes any more");
        recorder.kill().unwrap();
        recorder.wait().unwrap();
        kills += 1;
        longest_life += LIFE_STEP_MILLIS;
        if changetape_tape::tape_exists(&tape) {
            let holds = tape_events(&tape).len();
            assert!(holds >= held, "the tape shrank from {held} to {holds} events");
            if holds > held {
                kills_that_left_more += 1;
                longest_life -= LIFE_STEP_MILLIS;
            }
            held = holds;
        }
    }
    done.send(true).unwrap();
    writing.await.unwrap();

    let mut last = args.to_vec();
    last.extend(["--stop-when-idle", "2s"]);
    run(&last).expect_code(0);

    let expected = stream::read(&client, stream::raw_and_expanded(), begin).await;
    println!("{} events, {kills_that_left_more} of {kills} kills left more", expected.len());
    stream::assert_same(&tape_events(&tape), &expected);
}
