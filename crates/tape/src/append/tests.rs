//! What is too old is looked for now and then, also while nothing is sealed.

use super::*;
use crate::{Retain, samples};

#[test]
fn on_a_quiet_stream_what_is_too_old_is_looked_for_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let retain = Retain { age: Some(Duration::from_secs(7)), bytes: None };
    let options = TapeOptions { retain, ..TapeOptions::default() };
    let mut writer = options.create(&dir.path().join("orders.tape"), samples::metadata()).unwrap();
    let nothing = Batch { events: &[], token: &samples::token(0), arrival: samples::arrival(0) };
    let now = Instant::now();
    let long_ago = now.checked_sub(RETAIN_EVERY).unwrap();
    for (looked, looks) in [(now, false), (long_ago, true)] {
        writer.looked = looked;
        writer.append(&nothing).unwrap();
        assert_eq!(writer.looked > looked, looks);
    }
}
