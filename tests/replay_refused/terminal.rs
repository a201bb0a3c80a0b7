//! Whoever sits at the terminal is asked, and what is answered is done.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};

use super::*;
use crate::program::{Ran, changetape, ran, signal};
use crate::watched::until;

/// How the question ends.
const QUESTION: &str = "q ends the replay: ";

/// A replay at a terminal, whose stdout is not on it; killed when the test ends.
struct Asking {
    replay: Option<Child>,
    keyboard: File,
    screen: Arc<Mutex<String>>,
    reading: Option<JoinHandle<()>>,
}

impl Asking {
    fn start(args: &[&str]) -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let terminal = openpt(flags).unwrap();
        grantpt(&terminal).unwrap();
        unlockpt(&terminal).unwrap();
        let inside = || Stdio::from(ioctl_tiocgptpeer(&terminal, flags).unwrap());
        let mut command = changetape(&[args, &["--on-error", "ask", "--format", "json"]].concat());
        command.stdin(inside()).stderr(inside()).stdout(Stdio::piped());
        let replay = command.spawn().unwrap();
        // The command holds the terminal's inside open, and its end would not be seen.
        drop(command);
        let keyboard = File::from(terminal);
        let screen = Arc::new(Mutex::new(String::new()));
        let reading = std::thread::spawn({
            let (mut shown, screen) = (keyboard.try_clone().unwrap(), Arc::clone(&screen));
            move || {
                let mut bytes = [0; 4096];
                // When nobody has the inside open any more, it ends with an error.
                while let Ok(read @ 1..) = shown.read(&mut bytes) {
                    screen.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..read]));
                }
            }
        });
        Self { replay: Some(replay), keyboard, screen, reading: Some(reading) }
    }

    /// Waits until it has asked so often.
    async fn until_asked(&self, times: usize) {
        until("asked", async || {
            let screen = self.screen();
            if screen.matches(QUESTION).count() == times { Ok(()) } else { Err(screen) }
        })
        .await;
    }

    fn answer(&mut self, line: &str) {
        self.keyboard.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    fn screen(&self) -> String {
        self.screen.lock().unwrap().clone()
    }

    /// Waits for its end: what it has printed, stderr being what was on the screen.
    fn end(mut self) -> Ran {
        let mut ran = ran(self.replay.take().unwrap().wait_with_output().unwrap());
        self.reading.take().unwrap().join().unwrap();
        ran.stderr = self.screen();
        ran
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        if let Some(replay) = &mut self.replay {
            // It may have ended by itself, which the test has noticed then.
            let _ = replay.kill();
            let _ = replay.wait();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_answered_is_done() {
    let target = ReplicaSet::single().start().await.unwrap();
    let (client, uri) = (target.client().unwrap(), target.uri());
    occupy(&client).await;
    let taped = Taped::of(&seats());
    let mut asking = Asking::start(&taped.replay(&uri, &[]));
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
    let told = asking.end().expect_code(3).json();
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

    let mut asking = Asking::start(&taped.replay(&uri, &["--resume"]));
    asking.until_asked(1).await;
    asking.answer("q");
    let ran = asking.end().expect_code(1);
    assert!(ran.stderr.contains("; everything before #14 is applied, "), "{}", ran.stderr);

    let mut asking = Asking::start(&taped.replay(&uri, &["--resume"]));
    asking.until_asked(1).await;
    asking.answer("s");
    asking.until_asked(2).await;
    signal(asking.replay.as_ref().unwrap(), "-INT");
    let told = asking.end().expect_code(130).json();
    assert_eq!((&told["ended"], &told["startSeq"]), (&"stopped".into(), &14.into()), "{told}");

    let told = taped.run(&uri, &["--resume", "--on-error", "skip"]).expect_code(3).json();
    assert_eq!((&told["startSeq"], &told["refused"]), (&59.into(), &1.into()), "{told}");
}
