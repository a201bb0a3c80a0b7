//! Goal: a replay can be asked while it runs, by keys and over HTTP, by those who may; and however it
//! ends, the terminal is as it was.
//!
//! Method: a tape by hand whose events are an hour apart is played at its own speed, so that nothing
//! happens unless it is asked for: at a terminal whose mode is looked at from outside, in a shell that
//! suspends it, and over plain TCP.

mod http;
mod keys;
mod obeyed;

use std::process::Command;

use bson::raw::RawDocumentBuf;
use bson::{DateTime, Document, Timestamp, doc};
use serde_json::Value;

use crate::at_terminal::AtTerminal;
use crate::by_hand::{Taped, insert};
use crate::program::{Ran, changetape, text};
use crate::watched::ask;

/// So many inserts, one an hour.
fn hourly(events: u32) -> Taped {
    Taped::of(&(0..events).map(at_hour).collect::<Vec<_>>())
}

fn at_hour(hour: u32) -> RawDocumentBuf {
    let time = 1_772_366_400 + hour * 3_600;
    let mut event = Document::try_from(insert("hours", doc! {"_id": hour}).as_ref()).unwrap();
    event.insert("clusterTime", Timestamp { time, increment: 1 });
    event.insert("wallTime", DateTime::from_millis(i64::from(time) * 1_000));
    RawDocumentBuf::try_from(&event).unwrap()
}

/// A replay that can be asked over HTTP, and where.
struct Asked {
    replay: AtTerminal,
    address: String,
}

impl Asked {
    async fn start(taped: &Taped) -> Self {
        let args = ["replay", text(&taped.tape), "null:", "--control", "0", "--format", "json"];
        Self::of(changetape(&args)).await
    }

    async fn of(replay: Command) -> Self {
        const TOLD: &str = "control is at http://";
        let replay = AtTerminal::start(replay);
        replay.until_shown("told", |screen| screen.contains(TOLD)).await;
        let screen = replay.screen();
        let (_, after) = screen.split_once(TOLD).unwrap();
        let (address, _) = after.split_once("/status").unwrap();
        Self { address: address.to_owned(), replay }
    }

    fn ask(&self, request: &str) -> (u16, Value) {
        self.ask_with(request, "")
    }

    fn ask_with(&self, request: &str, headers: &str) -> (u16, Value) {
        let (status, text) = ask(&self.address, request, headers).unwrap();
        (status, serde_json::from_str(&text).unwrap())
    }

    fn end(self) -> Ran {
        self.replay.end().0
    }
}
