//! The receiver: a process of its own that reads what a replay sends it, and says how long after each
//! event was due its last byte had come, by its own look at the clock.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpListener;
use std::process::{Child, ChildStdout, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use changetape_benches::Error;
use changetape_benches::arguments::Arguments;

use crate::runs::{self, Figures, tell, tell_percentiles};

/// What is read at once.
const CHUNK: usize = 256 * 1024;

/// What must not happen to an event.
pub(crate) const WRONG: &str = "received early, lost, duplicated, reordered";

/// A receiver that waits for a replay. It ends when it is dropped.
pub(crate) struct Receiver {
    child: Child,
    output: BufReader<ChildStdout>,
    pub(crate) port: String,
}

impl Receiver {
    /// One that expects so many events.
    pub(crate) fn start(events: u64) -> Result<Self, Error> {
        let arguments = ["--events".to_owned(), events.to_string()];
        let mut child = runs::command("receive", &arguments)?.stdout(Stdio::piped()).spawn()?;
        let mut output = BufReader::new(child.stdout.take().ok_or("no output")?);
        let mut port = String::new();
        output.read_line(&mut port)?;
        let port = port.trim().to_owned();
        Ok(Self { child, output, port })
    }

    /// What it says once everything has come.
    pub(crate) fn finish(mut self) -> Result<Figures, Error> {
        let mut text = String::new();
        self.output.read_to_string(&mut text)?;
        let status = self.child.wait()?;
        if !status.success() {
            return Err(format!("the receiver ended with {status}").into());
        }
        runs::figures(&text)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        // One that has ended is no longer there.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What has come.
#[derive(Debug, Default)]
struct Received {
    /// Microseconds from when each event was due.
    after: Vec<f64>,
    /// Which events have come.
    seen: Vec<bool>,
    /// One past the last of them on the tape.
    next: usize,
    duplicated: u64,
    reordered: u64,
    early: u64,
}

/// The phase: listens, and reads to the end.
pub(crate) fn receive(arguments: &Arguments) -> Result<(), Error> {
    let expected: usize = arguments.required("--events")?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?.port());
    let (mut socket, _) = listener.accept()?;
    let mut received = Received { seen: vec![false; expected], ..Received::default() };
    received.after.reserve(expected);
    let (mut chunk, mut line) = (vec![0; CHUNK], Vec::new());
    loop {
        let len = socket.read(&mut chunk)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos();
        if len == 0 {
            break;
        }
        for part in chunk.get(..len).unwrap_or_default().split_inclusive(|&byte| byte == b'\n') {
            line.extend_from_slice(part);
            if line.ends_with(b"\n") {
                received.add(&line, i64::try_from(now)?)?;
                line.clear();
            }
        }
    }
    received.tell();
    Ok(())
}

impl Received {
    fn add(&mut self, line: &[u8], now: i64) -> Result<(), Error> {
        let (seq, due) =
            envelope(line).ok_or_else(|| String::from_utf8_lossy(line).into_owned())?;
        let nanos = now - due;
        self.early += u64::from(nanos < 0);
        self.after.push(nanos as f64 / 1e3);
        let seen = self.seen.get_mut(seq).ok_or_else(|| format!("no event {seq} was expected"))?;
        if std::mem::replace(seen, true) {
            self.duplicated += 1;
        } else {
            self.reordered += u64::from(seq < self.next);
        }
        self.next = self.next.max(seq + 1);
        Ok(())
    }

    fn tell(&mut self) {
        tell_percentiles("received - due", "µs", &mut self.after, &[50.0, 99.0]);
        let Self { seen, duplicated, reordered, early, .. } = self;
        let lost = seen.iter().filter(|seen| !**seen).count();
        let wrong = lost as u64 + *duplicated + *reordered + *early;
        if wrong > 0 {
            eprintln!("early {early}, lost {lost}, duplicated {duplicated}, reordered {reordered}");
        }
        tell(WRONG, wrong as f64);
    }
}

/// The event's place and when it was due, from a line that begins with
/// `{"seq":{"$numberLong":"41"},"due":{"$numberLong":"1772366400000000000"},…`.
fn envelope(line: &[u8]) -> Option<(usize, i64)> {
    let mut quoted = line.split(|&byte| byte == b'"').map(|part| str::from_utf8(part).ok());
    let seq = quoted.nth(5)??.parse().ok()?;
    let due = quoted.nth(5)??.parse().ok()?;
    Some((seq, due))
}
