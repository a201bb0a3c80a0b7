//! A recording's figures as Prometheus reads them, and whether it is well.
//!
//! Text format 0.0.4 (<https://prometheus.io/docs/instrumenting/exposition_formats/>): for each
//! metric its help, its type and one line for each value. All are numbers of ours, with names and
//! labels of ours, so nothing needs to be escaped. A figure that is not known has no line: a 0
//! would set off alarms, or keep them quiet.

use std::fmt::Write as _;
use std::time::Duration;

use changetape_deployment::PATIENCE;

use crate::{Snapshot, State};

/// How long the source may be away before a recording is no longer called well. An election
/// takes up to 12 s with MongoDB's default settings, by its manual, and then a retry.
const LONGEST_ABSENCE: Duration = Duration::from_secs(20);

/// How long a base may stand still before a recording is no longer called well. What the recorder
/// itself does about it is no reason to end it: it waits for an answer, lets its writer finish, and
/// pauses for up to 8 s before it begins again, which is getting on.
const LONGEST_STANDSTILL: Duration = PATIENCE.saturating_add(Duration::from_secs(30));

/// The content type of [`text`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Every figure that is known, in text format.
#[must_use]
#[allow(clippy::cast_precision_loss)] // Prometheus reads every value as a double.
pub fn text(now: &Snapshot) -> String {
    let mut page = Page::default();
    page.state(now.state);
    let waiting = match now.state {
        State::Recording | State::TakingBase => Duration::ZERO,
        State::Connecting | State::Opening | State::Waiting => now.in_state,
    };
    let whole = |n: u64| Some(n as f64);
    let seconds = |time: Option<u32>| time.map(f64::from);
    // An event's place is counted from 0: an empty tape has none.
    let last_seq = now.end.get().checked_sub(1).and_then(whole);
    // Both say where the source is, which nobody knows while it is away.
    let is_open = now.state == State::Recording;
    let lag = (is_open && now.reached.is_some()).then_some(now.lag_seconds);
    let oplog_left = now.oplog_left_seconds.filter(|_| is_open);
    let last_seal = (now.seals > 0).then_some(now.last_seal.as_secs_f64());
    let last_event = seconds(now.last_event.map(|time| time.seconds));
    let reached = seconds(now.reached.map(|time| time.seconds));

    page.gauge("source_away_seconds", waiting.as_secs_f64().into());
    page.counter("reconnects_total", now.reconnects);
    page.counter("retries_total", now.retries);
    page.counter("events_total", now.events);
    page.counter("bytes_total", now.bytes);
    page.gauge("last_durable_seq", last_seq);
    page.gauge("last_event_timestamp_seconds", last_event);
    page.gauge("reached_timestamp_seconds", reached);
    page.gauge("lag_seconds", seconds(lag));
    page.gauge("oplog_left_seconds", seconds(oplog_left));
    page.counter("gaps_total", now.gaps);
    page.gauge("tape_bytes", whole(now.tape_bytes));
    page.counter("seals_total", now.seals);
    page.gauge("last_seal_seconds", last_seal);
    if let Some(estimate) = now.base.estimate {
        page.gauge("base_documents", whole(now.base.documents));
        page.gauge("base_estimated_documents", whole(estimate));
        page.gauge("base_bytes", whole(now.base.bytes));
    }
    let standstill = (now.state == State::TakingBase).then_some(now.base.standstill);
    page.gauge("base_standstill_seconds", standstill.map(|time| time.as_secs_f64()));
    page.0
}

/// What each figure is; the page shows it, and the documentation.
const HELP: [(&str, &str); 19] = [
    ("state", "1 for what the recorder is doing, 0 for what it is not"),
    (
        "source_away_seconds",
        "For how long the stream has not been open; 0 while it is, or a base is taken",
    ),
    ("reconnects_total", "How often the stream was opened again"),
    ("retries_total", "How often opening the stream again was attempted"),
    ("events_total", "Events made durable in this session"),
    ("bytes_total", "Their raw BSON bytes"),
    ("last_durable_seq", "The sequence number of the last event on the tape"),
    ("last_event_timestamp_seconds", "The cluster time of the last event of this session"),
    ("reached_timestamp_seconds", "The cluster time that the tape reaches, quiet spells included"),
    ("lag_seconds", "How far the tape is behind the source, by the source's clock"),
    ("oplog_left_seconds", "Oplog that the source still has behind the tape's end"),
    ("gaps_total", "Gaps put on the tape in this session"),
    ("tape_bytes", "What the tape takes on disk"),
    ("seals_total", "Segments sealed in this session"),
    ("last_seal_seconds", "How long sealing the last segment took"),
    ("base_documents", "Documents of the base that are written"),
    ("base_estimated_documents", "About how many there will be, as the server estimates"),
    ("base_bytes", "Raw BSON bytes of the documents that are written"),
    ("base_standstill_seconds", "For how long the base has not got on, while it is taken"),
];

#[derive(Default)]
struct Page(String);

impl Page {
    fn state(&mut self, state: State) {
        self.head("state", "gauge");
        for (name, here) in [
            ("connecting", State::Connecting),
            ("opening", State::Opening),
            ("taking_base", State::TakingBase),
            ("recording", State::Recording),
            ("waiting", State::Waiting),
        ] {
            self.line(
                "state",
                &format!("{{state=\"{name}\"}}"),
                f64::from(u8::from(state == here)),
            );
        }
    }

    #[allow(clippy::cast_precision_loss)] // See `text`.
    fn counter(&mut self, name: &str, value: u64) {
        self.head(name, "counter");
        self.line(name, "", value as f64);
    }

    fn gauge(&mut self, name: &str, value: Option<f64>) {
        if let Some(value) = value {
            self.head(name, "gauge");
            self.line(name, "", value);
        }
    }

    fn head(&mut self, name: &str, kind: &str) {
        let help = HELP.iter().find(|(of, _)| *of == name).map_or("", |(_, help)| help);
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "# HELP changetape_recorder_{name} {help}");
        let _ = writeln!(self.0, "# TYPE changetape_recorder_{name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &str, value: f64) {
        let _ = writeln!(self.0, "changetape_recorder_{name}{labels} {value}");
    }
}

/// Whether a recording does what it is there for: `Ok` if so, otherwise why not; each a sentence.
///
/// # Errors
/// Why it is not well: the stream has not been open for longer than an election takes, or the base
/// does not get on.
pub fn health(now: &Snapshot) -> Result<String, String> {
    let doing = match now.state {
        State::Recording => return Ok("recording".to_owned()),
        State::TakingBase if now.base.standstill <= LONGEST_STANDSTILL => {
            return Ok("taking the base".to_owned());
        }
        State::TakingBase => {
            let seconds = now.base.standstill.as_secs();
            return Err(format!("taking the base, which has not got on for {seconds} s"));
        }
        State::Connecting => "looking for the source",
        State::Opening => "opening the stream",
        State::Waiting => "waiting for the source",
    };
    let sentence = format!("{doing} for {} s", now.in_state.as_secs());
    if now.in_state > LONGEST_ABSENCE { Err(sentence) } else { Ok(sentence) }
}

#[cfg(test)]
mod tests;
