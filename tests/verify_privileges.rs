//! Goal: the roles that the documentation names suffice to compare a database with a tape, and without
//! them the program says what it may not.
//!
//! Method: several databases, with every definition that a change stream reports, are recorded, replayed
//! into a server with authentication by a user who may just do that, and compared there as others.

use bson::doc;
use changetape_testkit::ReplicaSet;
use changetape_testkit::workload::OrderShop;
use tempfile::tempdir;

use crate::program::{run, text};
use crate::replay_applies::definitions::define_everything;

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_may_read_may_compare() {
    let (source, target) =
        tokio::join!(ReplicaSet::single().start(), ReplicaSet::single().auth(true).start());
    let (source, target) = (source.unwrap(), target.unwrap());
    let directory = tempdir().unwrap();
    let tape = directory.path().join("shop.tape");
    let record = ["record", &source.uri(), text(&tape), "--stop-when-idle", "1s"];
    run(&record).expect_code(0);
    let client = source.client().unwrap();
    let shop = OrderShop::new(changetape_testkit::seed()).database("store").steps(300);
    shop.run(&client).await.unwrap();
    define_everything(&client).await;
    run(&record).expect_code(0);
    let read = |db: &str| doc! {"role": "read", "db": db};
    let any = |role: &str| doc! {"role": role, "db": "admin"};
    let users = [
        ("replayer", ["readWriteAnyDatabase", "dbAdminAnyDatabase"].map(any).to_vec()),
        ("all", vec![any("readAnyDatabase")]),
        // The shop moves a collection into a database of its own.
        ("each", ["shop", "store", "store_old"].map(read).to_vec()),
        ("one", vec![read("shop")]),
    ];
    let admin = target.client().unwrap().database("admin");
    for (name, roles) in users {
        admin.run_command(doc! {"createUser": name, "pwd": "p", "roles": roles}).await.unwrap();
    }
    let uri = target.uri_as("replayer", "p");
    run(&["replay", text(&tape), &uri, "--speed", "max", "--verify"]).expect_code(0);
    let verify = |user| {
        let uri = target.uri_as(user, "p");
        run(&["verify", text(&tape), "--against", &uri, "--format", "json"])
    };
    for user in ["all", "each"] {
        let found = verify(user).expect_code(0).json();
        assert!(found["documents"].as_u64().unwrap() > 100, "{user}: {found}");
    }
    let refused = verify("one").expect_code(1);
    assert!(refused.sentence().contains("not authorized on store"), "{}", refused.stderr);
}
