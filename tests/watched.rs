//! A recorder that is watched from outside while it runs: its figures, its health, its log; and
//! how to wait for what has to come.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::program::{Ran, changetape, ran, text};

/// The figures of `/metrics`, by their names without what all have in common.
pub(crate) type Figures = BTreeMap<String, f64>;

/// How long to wait for what has to come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// How long to wait before looking again.
const POLL: Duration = Duration::from_millis(50);

/// What stands before the address in the line that tells it.
const ADDRESS: &str = "metrics are at http://";

/// A recorder with `--metrics`, killed when the test ends.
pub(crate) struct Recorder {
    process: Option<Child>,
    address: String,
    /// What it has printed on stderr so far, and who reads it.
    said: Arc<Mutex<String>>,
    listening: Option<JoinHandle<()>>,
}

impl Recorder {
    /// Starts a recorder.
    pub(crate) fn start(uri: &str, tape: &Path, more: &[&str]) -> Self {
        Self::spawn(changetape(&[&["record", uri, text(tape)], more].concat()))
    }

    /// Starts a recorder whose messages nobody takes once its address is known: stderr is a pipe
    /// that nobody reads from any more.
    pub(crate) fn unheard(uri: &str, tape: &Path) -> Self {
        let command = changetape(&["record", uri, text(tape)]);
        let mut recorder = Self::heard(command, |line| line.contains(ADDRESS));
        recorder.listening.take().unwrap().join().unwrap();
        recorder
    }

    /// Starts a recorder by a command that lacks `--metrics`.
    pub(crate) fn spawn(command: Command) -> Self {
        // To the end, or the recorder would wait for room to write.
        Self::heard(command, |_| false)
    }

    /// Starts a recorder and reads what it prints on stderr until a line is enough.
    fn heard(mut command: Command, is_enough: fn(&str) -> bool) -> Self {
        command.args(["--metrics", "0"]).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let stderr = process.stderr.take().unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let listening = std::thread::spawn({
            let said = Arc::clone(&said);
            move || listen(stderr, &said, is_enough)
        });
        let mut recorder = Self {
            process: Some(process),
            address: String::new(),
            said,
            listening: Some(listening),
        };
        let line = recorder.until_said(ADDRESS);
        let (_, after) = line.split_once(ADDRESS).unwrap();
        let (address, _) = after.split_once('/').unwrap();
        address.clone_into(&mut recorder.address);
        recorder
    }

    /// The status and the text of a page.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        ask(&self.address, &format!("GET {path}"), "")
            .unwrap_or_else(|error| panic!("{error}; {}", self.said()))
    }

    /// The figures now.
    pub(crate) fn figures(&self) -> Figures {
        let (status, page) = self.get("/metrics");
        assert_eq!(status, 200, "{page}");
        let values = page.lines().filter(|line| !line.starts_with('#'));
        let figure = |line: &str| {
            let (name, value) = line.strip_prefix("changetape_recorder_")?.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        };
        values.map(|line| figure(line).unwrap_or_else(|| panic!("{line:?}"))).collect()
    }

    /// Waits until the figures are as they should be, and returns them.
    pub(crate) fn until(&self, what: &str, holds: impl Fn(&Figures) -> bool) -> Figures {
        wait(
            || {
                let figures = self.figures();
                if holds(&figures) { Ok(figures) } else { Err(figures) }
            },
            |figures| format!("not {what}: {figures:?}; {}", self.said()),
        )
    }

    /// Waits until it reads the stream, and returns the figures. Asked to end before that, it ends
    /// as one that was interrupted.
    pub(crate) fn until_recording(&self) -> Figures {
        self.until("recording", |figures| figures["state{state=\"recording\"}"] > 0.5)
    }

    /// Waits until `/healthz` answers with a status, and returns what it says.
    pub(crate) fn until_health(&self, status: u16) -> String {
        wait(
            || match self.get("/healthz") {
                (found, sentence) if found == status => Ok(sentence),
                other => Err(other),
            },
            |(found, sentence)| format!("still {found}: {sentence}"),
        )
    }

    /// Waits until there is a line on stderr that contains some words, and returns the first.
    pub(crate) fn until_said(&self, words: &str) -> String {
        wait(
            || {
                let said = self.said();
                let line = said.lines().find(|line| line.contains(words)).map(str::to_owned);
                line.ok_or(said)
            },
            |said| format!("no {words:?} in: {said}"),
        )
    }

    /// What it has printed on stderr so far, whole lines.
    fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// Asks it to end (SIGTERM) and waits for that.
    pub(crate) fn stop(self) -> Ran {
        let pid = self.process.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").arg(pid).status().unwrap().success());
        self.end()
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> Ran {
        let mut ran = ran(self.process.take().unwrap().wait_with_output().unwrap());
        if let Some(listening) = self.listening.take() {
            listening.join().unwrap();
        }
        ran.stderr = self.said();
        ran
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            // It may have ended by itself, which the test has noticed then.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

fn listen(stderr: ChildStderr, said: &Mutex<String>, is_enough: fn(&str) -> bool) {
    for line in BufReader::new(stderr).lines() {
        let line = line.unwrap();
        said.lock().unwrap().extend([&line, "\n"]);
        if is_enough(&line) {
            break;
        }
    }
}

/// The status and the text of the answer to a request: a method and a path, and headers, each with its
/// line end.
pub(crate) fn ask(address: &str, request: &str, headers: &str) -> io::Result<(u16, String)> {
    let mut connection = TcpStream::connect(address)?;
    write!(connection, "{request} HTTP/1.1\r\nHost: {address}\r\n{headers}\r\n")?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    let (head, text) = answer.split_once("\r\n\r\n").unwrap();
    Ok((head.split(' ').nth(1).unwrap().parse().unwrap(), text.to_owned()))
}

/// Tries until it succeeds; what is wrong last is told when patience ends.
fn wait<T, E>(mut attempt: impl FnMut() -> Result<T, E>, told: impl Fn(E) -> String) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match attempt() {
            Ok(value) => return value,
            Err(error) => assert!(Instant::now() < deadline, "{}", told(error)),
        }
        std::thread::sleep(POLL);
    }
}

/// Waits until something is as it should be that has to be asked for: `attempt` returns what it
/// found there, or `Err` with what is there instead.
pub(crate) async fn until<T, E: Debug>(
    what: &str,
    mut attempt: impl AsyncFnMut() -> Result<T, E>,
) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match attempt().await {
            Ok(found) => return found,
            Err(found) => assert!(Instant::now() < deadline, "not {what}: {found:?}"),
        }
        tokio::time::sleep(POLL).await;
    }
}
