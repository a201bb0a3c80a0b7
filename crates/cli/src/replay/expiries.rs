//! What is said, for programs, of the expiries that a replay held back.

use changetape_replayer::{Expiries, LeftHeld};
use serde_json::{Value, json};

pub(super) fn json(expiries: &Expiries) -> Value {
    let left = expiries.left.iter().map(|LeftHeld { expiry, reason }| {
        json!({
            "namespace": expiry.namespace.to_string(),
            "index": expiry.index,
            "expireAfterSeconds": expiry.seconds,
            "reason": reason,
            "remedy": expiry.remedy(),
        })
    });
    json!({
        "putRight": expiries.put_right,
        "held": expiries.held,
        "left": left.collect::<Vec<_>>(),
    })
}
