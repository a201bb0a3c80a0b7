//! What is too old is looked for now and then, also while nothing is sealed; an append does not wait
//! for sealing; and nothing is appended after an error.

use super::*;
use crate::disk::seam::{At, Failure, Script, Then};
use crate::{Retain, samples, verify};

#[test]
fn on_a_quiet_stream_what_is_too_old_is_looked_for_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let retain = Retain { age: Some(Duration::from_secs(1_000_000)), bytes: None };
    let options = TapeOptions { retain, ..TapeOptions::default() };
    let mut writer = options.create(&dir.path().join("orders.tape"), samples::metadata()).unwrap();
    let nothing = Batch { events: &[], token: &samples::token(0), arrival: samples::arrival(0) };
    let now = Instant::now();
    let (soon, long_ago) = (now + RETAIN_EVERY, now.checked_sub(RETAIN_EVERY).unwrap());
    for (looked, looks) in [(soon, false), (long_ago, true)] {
        writer.looked = looked;
        writer.append(&nothing).unwrap();
        assert_eq!(writer.looked != looked, looks);
    }
}

#[test]
fn nothing_is_appended_twice_where_what_was_durable_failed_afterwards() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("orders.tape");
    let options = TapeOptions { segment_size: 1, ..TapeOptions::default() };
    let mut writer = options.create(&path, samples::metadata()).unwrap();
    // When another log is begun.
    let failing = At::Named(Call::Sync, layout::DURABLE, 0);
    let script = Script::at(dir.path(), failing, Then::Fail(Failure::DiskFull));
    let mut append = |n| {
        let (event, token) = (samples::event(n), samples::token(n + 1));
        let batch = Batch { events: &[&event], token: &token, arrival: samples::arrival(n) };
        let appended = writer.append(&batch).map(drop);
        (appended, writer.checkpoint().unwrap().next)
    };
    let failed = (0..1000).map(|n| (n, append(n))).find(|(_, (appended, _))| appended.is_err());
    let (n, (error, next)) = failed.unwrap();
    assert!(matches!(error, Err(Error::DiskFull { .. })), "{error:?}");
    assert_eq!(next, Seq::new(n + 1), "it is durable");
    let (again, next) = append(n);
    assert!(matches!(again, Err(Error::Broken { .. })), "{again:?}");
    assert_eq!(next, Seq::new(n + 1));
    drop(script);
    writer.close().unwrap();
    assert_eq!(TapeReader::open(&path).unwrap().summary().unwrap().events, n + 1);
}

#[test]
fn an_append_does_not_wait_for_what_is_being_sealed() {
    // Each is done by the sealing thread alone: a log is made, a segment written and named, the
    // catalog replaced, a log removed.
    let calls = [Call::CreateDir, Call::Create, Call::Rename, Call::SyncDir, Call::Remove];
    for call in calls {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("orders.tape");
        let options = TapeOptions { segment_size: 1, ..TapeOptions::default() };
        let mut writer = options.create(&path, samples::metadata()).unwrap();
        let script = Script::at(dir.path(), At::Kind(call, 0), Then::Hold);
        let (mut end, began) = (0, Instant::now());
        while !script.holds() {
            assert!(began.elapsed() < Duration::from_secs(60), "sealing makes no {call:?}");
            samples::append(&mut writer, end..end + 1);
            end += 1;
        }
        for _ in 0..100 {
            samples::append(&mut writer, end..end + 1);
            end += 1;
            assert_eq!(writer.checkpoint().unwrap().next, Seq::new(end), "durable");
        }
        assert!(script.holds(), "an append waited for {call:?}");
        drop(script);
        writer.close().unwrap();
        assert_eq!(verify(&path, &mut |_, _| ()).unwrap().damages, []);
        assert_eq!(TapeReader::open(&path).unwrap().summary().unwrap().events, end);
    }
}
