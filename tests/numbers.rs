//! Writers that do not stop for a failover: each counts, and every number is acknowledged by a
//! majority before the next.

use std::path::Path;
use std::time::{Duration, Instant};

use bson::raw::RawDocumentBuf;
use bson::{Timestamp, doc};
use changetape_core::ChangeEvent;
use mongodb::Client;
use mongodb::options::WriteConcern;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::program::{Ran, tape_events};
use crate::stream;
use crate::watched::{PATIENCE, Recorder};

/// How many write at the same time.
const WRITERS: usize = 6;

/// Writers at work.
pub(crate) struct Writers {
    /// The last number of each that was acknowledged.
    acknowledged: Vec<watch::Receiver<i64>>,
    tasks: Vec<JoinHandle<i64>>,
    stop: watch::Sender<bool>,
}

impl Writers {
    /// Starts them; each has written something when this returns.
    pub(crate) async fn start(client: &Client) -> Self {
        let (stop, stopped) = watch::channel(false);
        let (mut acknowledged, mut tasks) = (Vec::new(), Vec::new());
        for writer in 0..WRITERS {
            let (written, last) = watch::channel(-1);
            acknowledged.push(last);
            let writing = write_numbers(client.clone(), writer, written, stopped.clone());
            tasks.push(tokio::spawn(writing));
        }
        let mut writers = Self { acknowledged, tasks, stop };
        writers.written(1).await;
        writers
    }

    /// Waits until so many more numbers of each are acknowledged.
    pub(crate) async fn written(&mut self, more: i64) {
        let before: Vec<i64> = self.acknowledged.iter().map(|last| *last.borrow()).collect();
        for (last, before) in self.acknowledged.iter_mut().zip(before) {
            last.wait_for(|&n| n >= before + more).await.unwrap();
        }
    }

    /// Ends them; the last number of each.
    pub(crate) async fn stop(self) -> Vec<i64> {
        self.stop.send(true).unwrap();
        let mut last = Vec::new();
        for task in self.tasks {
            last.push(task.await.unwrap());
        }
        last
    }
}

/// Inserts 0, 1, 2, … until told to stop; returns the last that was acknowledged.
async fn write_numbers(
    client: Client,
    writer: usize,
    written: watch::Sender<i64>,
    stopped: watch::Receiver<bool>,
) -> i64 {
    /// `DuplicateKey`: a write that looked lost had come through.
    const DUPLICATE_KEY: &str = "11000";
    let numbers = client.database("failover").collection(&format!("writer{writer}"));
    for n in 0_i64.. {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let insert =
                numbers.insert_one(doc! {"_id": n}).write_concern(WriteConcern::majority());
            match insert.await {
                Ok(_) => break,
                Err(error) if format!("{error:?}").contains(DUPLICATE_KEY) => break,
                Err(error) => assert!(Instant::now() < deadline, "nobody takes {n}: {error}"),
            }
            // Between two primaries; the pause only keeps the log readable.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        written.send_replace(n);
        if *stopped.borrow() {
            return n;
        }
    }
    unreachable!("numbers do not end")
}

/// Ends writers and, once it has everything, the recorder that they were recorded by since
/// `begin`; checks its tape, and returns what it printed.
pub(crate) async fn end_and_compare(
    writers: Writers,
    recorder: Recorder,
    client: &Client,
    begin: Timestamp,
    tape: &Path,
) -> Ran {
    let last = writers.stop().await;
    let expected = stream::read(client, stream::raw_and_expanded(), begin).await;
    let all = f64::from(u32::try_from(expected.len()).unwrap());
    recorder.until("all recorded", |figures| figures["events_total"] >= all);
    let ran = recorder.stop().expect_code(0);
    let events = tape_events(tape);
    stream::assert_same(&events, &expected);
    check(&events, &last);
    ran
}

/// Checks that events hold what writers wrote up to these numbers: each once, in each one's order.
fn check(events: &[RawDocumentBuf], last: &[i64]) {
    let mut seen: Vec<Vec<i64>> = vec![Vec::new(); last.len()];
    for raw in events {
        let event = ChangeEvent::from(raw.as_ref());
        let Some(document) = event.full_document().unwrap() else { continue };
        let namespace = event.namespace().unwrap().unwrap().to_string();
        let writer: usize = namespace.strip_prefix("failover.writer").unwrap().parse().unwrap();
        seen[writer].push(document.get_i64("_id").unwrap());
    }
    for (writer, (seen, last)) in seen.iter().zip(last).enumerate() {
        let wrong = seen.iter().zip(0..).find(|(seen, n)| *seen != n);
        assert_eq!((wrong, seen.last()), (None, Some(last)), "of writer {writer}");
    }
}
