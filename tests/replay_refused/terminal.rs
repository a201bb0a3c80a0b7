//! Whoever sits at the terminal is asked, and what is answered is done.

use std::time::Duration;

use super::*;
use crate::at_terminal::{AtTerminal, Mode};
use crate::program::changetape;

/// How the question ends.
const QUESTION: &str = "q ends the replay: ";

/// A replay at a terminal that asks.
fn start(args: &[&str]) -> AtTerminal {
    AtTerminal::start(changetape(&[args, &["--on-error", "ask", "--format", "json"]].concat()))
}

impl AtTerminal {
    /// Waits until it has asked so often; what is typed now is a line.
    async fn until_asked(&self, times: usize) {
        self.until_shown("asked", |screen| screen.matches(QUESTION).count() == times).await;
        assert_eq!(self.mode(), Mode::Lines);
    }

    fn answer(&mut self, line: &str) {
        self.type_keys(&format!("{line}\n"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_answered_is_done() {
    let target = ReplicaSet::single().start().await.unwrap();
    let (client, uri) = (target.client().unwrap(), target.uri());
    occupy(&client).await;
    let taped = Taped::of(&seats());
    let mut asking = start(&taped.replay(&uri, &[]));
    asking.until_asked(1).await;
    // Long enough for a progress line to be drawn over the question, were it.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let screen = asking.screen();
    assert!(screen.ends_with(QUESTION), "{screen:?}");
    assert!(screen.contains("refused the insert at #14 on shop.seats: E11000"), "{screen}");
    assert!(screen.contains("a document that the tape does not know"), "{screen}");
    asking.answer("what?");
    asking.until_asked(2).await;
    let seats = client.database("shop").collection::<Document>("seats");
    seats.delete_one(doc! {"_id": "x"}).await.unwrap();
    asking.answer("r");
    asking.until_asked(3).await;
    assert_eq!(asking.screen().matches("refused the update at #59").count(), 1);
    asking.answer("a");
    let told = asking.end().0.expect_code(3).json();
    assert_eq!((&told["refused"], &told["refusals"][0]["seq"]), (&1.into(), &59.into()), "{told}");
    let mut expected = seats_without_refused();
    expected.push(doc! {"_id": 7, "seat": 7});
    expected.sort_by_key(|seat| seat.get_i32("_id").unwrap());
    assert_eq!(there(&client, "seats").await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_can_be_quit_and_interrupted() {
    let target = ReplicaSet::single().start().await.unwrap();
    let uri = target.uri();
    occupy(&target.client().unwrap()).await;
    let taped = Taped::of(&seats());

    let mut asking = start(&taped.replay(&uri, &["--resume"]));
    asking.until_asked(1).await;
    asking.answer("q");
    let (ran, mode) = asking.end();
    assert_eq!(mode, Mode::Lines);
    let ran = ran.expect_code(1);
    assert!(ran.stderr.contains("; everything before #14 is applied, "), "{}", ran.stderr);

    let mut asking = start(&taped.replay(&uri, &["--resume"]));
    asking.until_asked(1).await;
    asking.answer("s");
    asking.until_asked(2).await;
    asking.signal("-INT");
    let told = asking.end().0.expect_code(130).json();
    assert_eq!((&told["ended"], &told["startSeq"]), (&"stopped".into(), &14.into()), "{told}");

    let told = taped.run(&uri, &["--resume", "--on-error", "skip"]).expect_code(3).json();
    assert_eq!((&told["startSeq"], &told["refused"]), (&59.into(), &1.into()), "{told}");
}
