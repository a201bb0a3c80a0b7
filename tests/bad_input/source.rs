//! Sources that cannot be recorded: exit code 1, the host and the cause, and no tape left
//! behind.

use bson::doc;
use changetape_deployment::Deployment;
use changetape_testkit::{ReplicaSet, Standalone};
use tempfile::tempdir;

use super::{SECRET, SOON};
use crate::program::{Ran, run, text};

/// Tries to record, and sees that no tape is made.
#[track_caller]
fn refused(uri: &str, code: i32) -> Ran {
    let directory = tempdir().unwrap();
    let tape = directory.path().join("never.tape");
    let ran = run(&["record", uri, text(&tape), "--stop-when-idle", "1s"]).expect_code(code);
    assert!(!tape.exists(), "a tape was made");
    assert!(!ran.stderr.contains(SECRET), "the password is shown: {}", ran.stderr);
    assert_eq!(ran.stderr.matches("error: ").count(), 1, "{}", ran.stderr);
    ran
}

/// The sentence holds each of these.
#[track_caller]
fn says(ran: &Ran, words: &[&str]) {
    for word in words {
        assert!(ran.sentence().contains(word), "{word:?} is not in: {}", ran.sentence());
    }
}

#[test]
fn a_host_that_is_not_known_or_does_not_listen() {
    let ran = refused(&format!("mongodb://anna:{SECRET}@nowhere.invalid/?{SOON}"), 1);
    says(&ran, &["nowhere.invalid", "the host name is not known"]);
    // Port 1 is reserved and nobody listens there.
    let ran = refused(&format!("mongodb://anna:{SECRET}@127.0.0.1:1/?{SOON}"), 1);
    says(&ran, &["127.0.0.1:1", "refused", "is mongod running there"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standalone_mongod_is_told_how_to_become_a_replica_set() {
    let standalone = Standalone::start().await.unwrap();
    let ran = refused(&standalone.uri(), 1);
    says(&ran, &["change streams need a replica set", "--replSet", "rs.initiate()"]);
    // Nor has it a cluster time; none is told, rather than one that never was.
    let standalone = Deployment::connect(&standalone.uri()).await.unwrap();
    assert_eq!(standalone.now().await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_and_a_missing_privilege_are_named() {
    let source = ReplicaSet::single().auth(true).start().await.unwrap();
    let ran = refused(&source.uri_as("root", SECRET), 1);
    says(&ran, &["127.0.0.1", "root", "wrong user name or password"]);

    let anonymous = format!("mongodb://127.0.0.1:{}/?directConnection=true", source.port(0));
    let ran = refused(&anonymous, 1);
    says(&ran, &["127.0.0.1", "lets nobody watch without a user", "readAnyDatabase"]);

    let admin = source.client().unwrap().database("admin");
    for (user, roles) in
        [("nobody", doc! {"roles": []}), ("reader", doc! {"roles": ["readAnyDatabase"]})]
    {
        let mut create = doc! {"createUser": user, "pwd": SECRET};
        create.extend(roles);
        admin.run_command(create).await.unwrap();
    }
    let ran = refused(&source.uri_as("nobody", SECRET), 1);
    says(&ran, &["nobody", "find", "changeStream", "every database", "readAnyDatabase"]);

    // What the sentence advises is enough.
    let directory = tempdir().unwrap();
    let tape = directory.path().join("read.tape");
    let uri = source.uri_as("reader", SECRET);
    run(&["record", &uri, text(&tape), "--stop-when-idle", "1s"]).expect_code(0);
    assert!(tape.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_on_one_side_only_or_untrusted_is_named() {
    let plain = ReplicaSet::single().start().await.unwrap();
    let ran = refused(&format!("{}&tls=true&{SOON}", plain.uri()), 1);
    says(&ran, &["TLS", "127.0.0.1", "tls=true"]);

    let tls = ReplicaSet::single().tls(true).start().await.unwrap();
    let host = format!("127.0.0.1:{}", tls.port(0));
    let ran = refused(&format!("mongodb://{host}/?{SOON}"), 1);
    says(&ran, &["TLS", &host, "tls=true"]);
    let ran = refused(&format!("mongodb://{host}/?tls=true&{SOON}"), 1);
    says(&ran, &["TLS", &host, "certificate", "tlsCAFile"]);
}
