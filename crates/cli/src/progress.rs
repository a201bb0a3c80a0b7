//! Progress on stderr: a line that redraws itself on a terminal, elsewhere a plain line now
//! and then.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rustix::termios::tcgetwinsize;

use crate::args::OutputArgs;

/// How often the line is redrawn on a terminal, and printed elsewhere.
const REDRAW: Duration = Duration::from_millis(200);
const PLAIN: Duration = Duration::from_secs(10);

/// How many columns a terminal has that does not say, and how many leave no room for a long bar.
const USUAL: usize = 80;
const NARROW: usize = 100;

/// The line that is on the terminal now, so that messages can be written above it.
static SHOWN: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// What to show.
pub(crate) struct Line {
    /// The text.
    pub(crate) text: String,
    /// Done, and of how much, where that is known.
    pub(crate) part: Option<(u64, u64)>,
}

impl Line {
    /// All of it in a line of text.
    fn plain(&self) -> String {
        match self.part {
            // Where there is nothing to do, all is done.
            Some((done, of)) => {
                let percent = (u128::from(done) * 100).checked_div(of.into()).unwrap_or(100);
                format!("{percent}% {}", self.text)
            }
            None => self.text.clone(),
        }
    }
}

/// Progress being shown, until it is dropped.
pub(crate) struct Shown {
    end: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Shows what `line` returns, again and again. Shows nothing if the user wants quiet.
pub(crate) fn show(output: &OutputArgs, mut line: impl FnMut() -> Line + Send + 'static) -> Shown {
    if output.quiet {
        return Shown { end: None, thread: None };
    }
    let (end, ended) = mpsc::channel();
    let terminal = io::stderr().is_terminal();
    let every = if terminal { REDRAW } else { PLAIN };
    let thread = std::thread::Builder::new().name("progress".to_owned()).spawn(move || {
        let bar = terminal.then(bar);
        shown().clone_from(&bar);
        while ended.recv_timeout(every) == Err(mpsc::RecvTimeoutError::Timeout) {
            let line = line();
            match &bar {
                Some(bar) => draw(bar, &line),
                // Progress is not worth failing for when stderr is closed.
                None => drop(writeln!(io::stderr(), "{}", line.plain())),
            }
        }
        if let Some(bar) = &bar {
            bar.finish_and_clear();
        }
        shown().take();
    });
    // Without a thread there is no progress, and everything else still works.
    Shown { end: Some(end), thread: thread.ok() }
}

impl Drop for Shown {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // A progress line that panicked has already said so.
            let _ = thread.join();
        }
    }
}

/// Does something that writes to stderr while no progress line is in the way.
pub(crate) fn aside<T>(write: impl FnOnce() -> T) -> T {
    let bar = shown().clone();
    match bar {
        Some(bar) => bar.suspend(write),
        None => write(),
    }
}

fn shown() -> MutexGuard<'static, Option<ProgressBar>> {
    SHOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    // Before there is anything to show, a message brings an empty line back, not a bar of nothing.
    match ProgressStyle::with_template("{wide_msg}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

fn draw(bar: &ProgressBar, line: &Line) {
    let columns = tcgetwinsize(io::stderr()).map_or(0, |size| size.ws_col);
    let columns = if columns == 0 { USUAL } else { usize::from(columns) };
    let (template, room) = if let Some((done, of)) = line.part {
        bar.set_length(of);
        bar.set_position(done);
        if columns < NARROW {
            ("{bar:10} {percent:>3}% {wide_msg}", columns.saturating_sub(16))
        } else {
            ("{bar:24} {percent:>3}% {wide_msg}", columns.saturating_sub(30))
        }
    } else {
        ("{spinner} {wide_msg}", columns.saturating_sub(2))
    };
    // The templates are ours; one that did not parse would leave the line as it was.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_message(fitting(&line.text, room).to_owned());
    bar.tick();
}

/// As much of a line as there is room for, up to a comma.
fn fitting(mut text: &str, room: usize) -> &str {
    while text.chars().count() > room {
        let Some((shorter, _)) = text.rsplit_once(", ") else { break };
        text = shorter;
    }
    text
}

/// Counts per second, for a progress line.
#[derive(Debug, Clone)]
pub(crate) struct Rate {
    at: Instant,
    count: u64,
    /// How many seconds of the past count.
    memory: f64,
    /// The rate, times how much is remembered of that past.
    sum: f64,
    weight: f64,
}

impl Rate {
    /// Begins to count; the last second counts most.
    pub(crate) fn new() -> Self {
        Self::over(1.0)
    }

    /// The same for so many seconds.
    pub(crate) fn over(memory: f64) -> Self {
        Self { at: Instant::now(), count: 0, memory, sum: 0.0, weight: 0.0 }
    }

    /// The rate over the last seconds: smooth where it is asked for often, so that it can be
    /// read, and exact where it is not.
    #[allow(clippy::cast_precision_loss)] // A rate is shown with a few digits.
    pub(crate) fn per_second(&mut self, count: u64) -> f64 {
        let seconds = self.at.elapsed().as_secs_f64().max(1e-3);
        let rate = count.saturating_sub(self.count) as f64 / seconds;
        (self.at, self.count) = (Instant::now(), count);
        self.add(seconds, rate)
    }

    /// The rate after so many seconds of this one.
    fn add(&mut self, seconds: f64, rate: f64) -> f64 {
        let kept = (-seconds / self.memory).exp();
        self.sum = kept * self.sum + (1.0 - kept) * rate;
        // Of what was before the beginning nothing counts.
        self.weight = kept * self.weight + (1.0 - kept);
        self.sum / self.weight
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_line_says_how_much_is_done() {
        let plain = |part| Line { text: "verified".to_owned(), part }.plain();
        assert_eq!(plain(None), "verified");
        assert_eq!(plain(Some((0, 7))), "0% verified");
        assert_eq!(plain(Some((6, 7))), "85% verified");
        assert_eq!(plain(Some((7, 7))), "100% verified");
        assert_eq!(plain(Some((0, 0))), "100% verified");
    }

    #[test]
    fn a_line_that_is_too_long_ends_at_a_comma() {
        let text = "7 events, 3/s, … to go";
        assert_eq!(fitting(text, 22), text);
        assert_eq!(fitting(text, 21), "7 events, 3/s");
        assert_eq!(fitting(text, 12), "7 events");
        assert_eq!(fitting(text, 3), "7 events");
    }

    #[test]
    fn a_rate_is_right_from_the_beginning_and_forgets_what_is_long_past() {
        let mut rate = Rate::over(10.0);
        let near = |rate: f64, to: f64| assert!((rate - to).abs() < to / 100.0, "{rate}");
        near(rate.add(0.2, 500.0), 500.0);
        near(rate.add(0.2, 500.0), 500.0);
        let mut now = 0.0;
        for _ in 0..500 {
            now = rate.add(0.2, 100.0);
        }
        near(now, 100.0);
    }
}
