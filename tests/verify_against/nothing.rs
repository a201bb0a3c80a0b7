//! A comparison of nothing proves nothing, and says so.

use bson::doc;

use super::*;
use crate::by_hand::{Taped, define, insert};

/// What has nothing of the tape, and what is said of it.
const NOTHING: [(&[&str], &str); 4] = [
    (
        &["--include", "shop.oders"],
        "of what is selected the tape says nothing in this range (3 events)",
    ),
    (&["--start", "#1000000"], "the tape has no event in this range"),
    (&["--start", "#2", "--end", "#1"], "the tape has no event in this range"),
    (
        &["--end", "#2", "--exclude", "shop"],
        "of what is selected the tape says nothing in this range (2 events)",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn of_what_the_tape_says_nothing_nothing_is_said() {
    let drop = define("drop", "gone", doc! {});
    let events = [insert("orders", doc! {"_id": 1}), insert("orders", doc! {"_id": 2}), drop];
    let taped = Taped::of(&events);
    let target = ReplicaSet::single().start().await.unwrap();
    let (tape, uri) = (&taped.tape, target.uri());
    for (part, says) in NOTHING {
        let against = ["verify", text(tape), "--against", &uri];
        let told = run(&[&against[..], part].concat()).expect_code(0).stdout;
        assert_eq!(told, format!("nothing was compared: {says}\n"), "{part:?}");
        let found = verify(tape, &uri, 0, part);
        let same = [&found["same"], &found["notCompared"]];
        assert_eq!(same, [&Value::Null, &Value::from(says)], "{found}");
        // After a replay of the same nothing.
        let told = taped.run(&uri, &[&["--verify"], part].concat()).expect_code(0).json();
        assert_eq!(told["verification"]["notCompared"], says, "{told}");
    }
    // That there must not be anything is something.
    let found = verify(tape, &uri, 0, &["--include", "shop.gone"]);
    assert_eq!([&found["same"], &found["notCompared"]], [&Value::from(true), &Value::Null]);
}
