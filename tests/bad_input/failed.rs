//! A replay that fails tells programs how far it came, and people why.

use bson::doc;
use changetape_testkit::ReplicaSet;
use serde_json::{Value, json};

use crate::by_hand::{Taped, define, event, insert};
use crate::program::{Ran, run};

/// What a program is told of a failure: the same sentence as people, and nothing of its own.
#[track_caller]
fn failed(ran: Ran) -> Value {
    let ran = ran.expect_code(1);
    let told = ran.json();
    assert_eq!((&told["ended"], &told["error"]), (&json!("failed"), &json!(ran.sentence())));
    told
}

#[track_caller]
fn figures(told: &Value) -> [&Value; 4] {
    ["startSeq", "endSeq", "reachedSeq", "delivered"].map(|name| &told[name])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_fails_tells_programs_how_far_it_came() {
    let target = ReplicaSet::single().start().await.unwrap();
    let uri = target.uri();
    // What has one name already cannot be given to another.
    let unique = doc! {"indexes": [{"v": 2, "key": {"n": 1}, "name": "n", "unique": true}]};
    let mut events = vec![define("create", "orders", doc! {})];
    events.push(define("createIndexes", "orders", unique));
    events.extend((0..10).map(|n| insert("orders", doc! {"_id": n, "n": n % 7})));
    let taped = Taped::of(&events);
    let told = failed(taped.run(&uri, &["--end", "#11", "--verify"]));
    let reached = told["reachedSeq"].as_u64().unwrap();
    assert_eq!(figures(&told), [0, 11, reached, reached], "{told}");
    // At least the definitions were acknowledged, one by one.
    assert!((2..=9).contains(&reached), "{told}");
    assert!(told["bytes"].as_u64() > Some(0), "{told}");
    let not_compared = "the replay did not come to its end";
    assert_eq!(told["verification"]["notCompared"], not_compared, "{told}");

    // Before anything was begun. Nobody asked for a comparison.
    let nowhere = "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=1";
    let told = failed(taped.run(nowhere, &[]));
    let places = [Value::Null, Value::Null, Value::Null, json!(0)];
    assert_eq!(figures(&told), places.each_ref(), "{told}");
    assert_eq!(told["verification"], Value::Null, "{told}");
}

#[test]
fn a_dry_run_that_fails_does_too_and_a_mistake_has_no_figures() {
    let odd = event("insert", "orders", doc! {"operationType": 5});
    let taped = Taped::of(&[insert("orders", doc! {"_id": 1}), odd]);
    let told = failed(taped.run("mongodb://127.0.0.1:1", &["--dry-run"]));
    assert_eq!((&told["dryRun"], &told["endSeq"]), (&json!(true), &json!(2)), "{told}");

    let mistake = taped.run("mongodb://127.0.0.1:1/?tls=maybe", &[]).expect_code(2);
    assert_eq!(mistake.stdout, "");
    // Where events are printed, it does not stand among them.
    let printed = run(&taped.replay("-", &["--format", "json"])).expect_code(1);
    assert!(!printed.stdout.contains("failed"), "{}", printed.stdout);
    assert!(printed.stderr.contains("\"ended\":\"failed\""), "{}", printed.stderr);
}
