//! `--on-error`: asking about an event that the target refuses, and telling which were left out.

use std::io::{self, IsTerminal as _, Write};
use std::time::Duration;

use changetape_replayer::sink::mongod::{Answer, Ask, OnError, RefusedEvent};
use changetape_replayer::{Stop, Summary};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Value, json};

use crate::args::OnErrorArg;
use crate::exit::Usage;
use crate::{progress, report, terminal};

/// How soon a stop is noticed while an answer is waited for.
const SLICE: Duration = Duration::from_millis(100);

/// The question, without a line end: the answer stands beside it.
const QUESTION: &str =
    "s skips it, a skips whatever is refused, r tries it again, q ends the replay: ";

/// What the flag asks for.
///
/// # Errors
/// [`Usage`] if somebody is to be asked and nobody is there.
pub(super) fn of(arg: OnErrorArg) -> anyhow::Result<OnError> {
    Ok(match arg {
        OnErrorArg::Stop => OnError::Stop,
        OnErrorArg::Skip => OnError::Skip,
        OnErrorArg::Ask if io::stdin().is_terminal() && io::stderr().is_terminal() => {
            OnError::Ask(Box::new(Terminal))
        }
        OnErrorArg::Ask => {
            let sentence = "--on-error ask needs a terminal to ask on: choose stop or skip";
            return Err(Usage::new(sentence).into());
        }
    })
}

/// Whoever sits at the terminal.
#[derive(Debug)]
struct Terminal;

impl Ask for Terminal {
    fn ask(&mut self, refused: &RefusedEvent, stop: &Stop) -> Answer {
        terminal::aside(|| progress::aside(|| ask(refused, &mut io::stderr(), || line(stop))))
    }
}

/// Asks until there is an answer. Without one the replay ends.
fn ask(
    refused: &RefusedEvent,
    to: &mut impl Write,
    mut line: impl FnMut() -> Option<String>,
) -> Answer {
    let mut text = format!("the target refused {refused}\n");
    if let Some(advice) = refused.advice() {
        text.extend(["  ", advice, "\n"]);
    }
    loop {
        // Whoever cannot be asked does not answer either.
        let _ = write!(to, "{text}{QUESTION}").and_then(|()| to.flush());
        let Some(line) = line() else {
            let _ = writeln!(to);
            return Answer::Stop;
        };
        match line.trim().to_lowercase().as_str() {
            "s" | "skip" => return Answer::Skip,
            "a" | "all" | "always" => return Answer::SkipAll,
            "r" | "retry" => return Answer::Retry,
            "q" | "quit" => return Answer::Stop,
            _ => text.clear(),
        }
    }
}

/// A line from the terminal; `None` at its end, or once a stop is requested.
fn line(stop: &Stop) -> Option<String> {
    let stdin = io::stdin();
    let slice = Timespec::try_from(SLICE).ok()?;
    while !stop.is_requested() {
        let mut ready = [PollFd::new(&stdin, PollFlags::IN)];
        match poll(&mut ready, Some(&slice)) {
            // A terminal hands over whole lines.
            Ok(1..) => {
                let mut line = String::new();
                let read = stdin.read_line(&mut line).ok()?;
                return (read > 0).then_some(line);
            }
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => return None,
        }
    }
    None
}

/// Which events were left out, for people.
pub(super) fn lines(summary: &Summary) -> Vec<String> {
    if summary.refused == 0 {
        return Vec::new();
    }
    let refused = report::events(summary.refused);
    let mut lines = vec![format!("left out {refused} that the target refused")];
    lines.extend(summary.refusals.iter().map(|event| format!("  {event}")));
    lines
}

/// The same for programs.
pub(super) fn json(refusals: &[RefusedEvent]) -> Value {
    let refusal = |event: &RefusedEvent| {
        json!({
            "seq": event.seq.get(),
            "operation": event.operation.to_string(),
            "namespace": event.namespace.to_string(),
            "code": event.refusal.code,
            "codeName": event.refusal.name,
            "errmsg": event.refusal.message,
        })
    };
    refusals.iter().map(refusal).collect()
}

#[cfg(test)]
mod tests {
    use changetape_core::{Namespace, OperationType, Seq};
    use changetape_deployment::Refusal;

    use super::*;

    /// What is answered to these lines, and what was asked.
    fn answered(lines: &[&str]) -> (Answer, String) {
        let refusal = Refusal { code: 11000, name: "Name".to_owned(), message: "no".to_owned() };
        let (operation, namespace) = (OperationType::Insert, Namespace::collection("shop", "a"));
        let (seq, transaction) = (Seq::new(7), None);
        let refused = RefusedEvent { seq, operation, namespace, refusal, transaction };
        let mut lines = lines.iter().map(|line| format!("{line}\n"));
        let mut asked = Vec::new();
        let answer = ask(&refused, &mut asked, || lines.next());
        (answer, String::from_utf8(asked).unwrap())
    }

    #[test]
    fn an_answer_may_be_a_letter_or_a_word() {
        for (line, expected) in [
            ("s", Answer::Skip),
            (" Skip ", Answer::Skip),
            ("a", Answer::SkipAll),
            ("r", Answer::Retry),
            ("q", Answer::Stop),
        ] {
            assert_eq!(answered(&[line]).0, expected, "{line:?}");
        }
    }

    #[test]
    fn the_event_is_shown_once_and_the_question_until_it_is_answered() {
        let (answer, asked) = answered(&["", "yes", "s", "q"]);
        assert_eq!(answer, Answer::Skip);
        assert_eq!(asked.matches(QUESTION).count(), 3, "{asked}");
        let shown = "the target refused the insert at #7 on shop.a: no (11000 Name)\n  a document";
        assert!(asked.starts_with(shown), "{asked}");
        assert_eq!(asked.matches("#7").count(), 1, "{asked}");
    }

    #[test]
    fn without_an_answer_the_replay_ends() {
        let (answer, asked) = answered(&[]);
        assert_eq!(answer, Answer::Stop);
        assert!(asked.ends_with(&format!("{QUESTION}\n")), "{asked}");
    }
}
