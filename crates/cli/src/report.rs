//! Results on stdout, and numbers as people read them.

use std::io::{self, Write as _};
use std::time::Duration;

use anyhow::Context as _;
use bytesize::ByteSize;
use changetape_replayer::HostLoad;
use changetape_tape::BaseSummary;
use serde_json::{Value, json};

/// Writes a result to stdout. A reader that closed the pipe has what it wanted.
///
/// # Errors
/// One sentence, with what stdout says.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    let written = writeln!(stdout, "{}", text.trim_end()).and_then(|()| stdout.flush());
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("standard output cannot be written")
        }
        _ => Ok(()),
    }
}

/// `12 345 678`.
pub(crate) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// `1 event`, `2 events`.
pub(crate) fn events(n: u64) -> String {
    counted(n, "event")
}

/// `1 segment`, `2 segments`.
pub(crate) fn counted(n: u64, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{} {what}s", count(n)) }
}

/// `1 collection or view`, `7 collections and views`.
pub(crate) fn collections(n: u64) -> String {
    let what = if n == 1 { "collection or view" } else { "collections and views" };
    format!("{} {what}", count(n))
}

/// `1 204 documents (3.4 MB) of 7 collections and views at 1772366400:1`.
pub(crate) fn base(base: &BaseSummary) -> String {
    format!(
        "{} ({}) of {} at {} ({})",
        counted(base.documents, "document"),
        bytes(base.bytes),
        collections(base.collections),
        base.time,
        base.time.wall_time(),
    )
}

/// The same for programs.
pub(crate) fn base_json(base: &BaseSummary) -> Value {
    json!({
        "clusterTime": base.time.to_string(),
        "takenAt": base.taken.to_string(),
        "collections": base.collections,
        "documents": base.documents,
        "bytes": base.bytes,
        "diskBytes": base.disk_bytes,
    })
}

/// `3.4 MB`.
pub(crate) fn bytes(n: u64) -> String {
    ByteSize(n).display().si().to_string()
}

/// `1 234/s`.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Rates are not negative.
pub(crate) fn rate(per_second: f64) -> String {
    format!("{}/s", count(per_second.max(0.0).round() as u64))
}

/// `0.62 s`, `1m 3s`, `2h 1m`.
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds < 60 {
        format!("{:.2} s", duration.as_secs_f64())
    } else {
        humantime::format_duration(Duration::from_secs(seconds)).to_string()
    }
}

/// `12s`, `1m 3s`, `2h 1m`: of the future, so no more than two units of it.
pub(crate) fn about(duration: Duration) -> String {
    let seconds = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    let text = humantime::format_duration(Duration::from_secs(seconds)).to_string();
    text.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

/// `0.31 ms`.
pub(crate) fn milliseconds(duration: Duration) -> String {
    format!("{:.2} ms", duration.as_secs_f64() * 1e3)
}

/// `0.3 µs`, `63 µs`, `2.31 ms`, `1.20 s`: what may be very short, or not.
pub(crate) fn brief(time: Duration) -> String {
    match time.as_nanos() {
        0..10_000 => format!("{:.1} µs", micros(time)),
        10_000..1_000_000 => format!("{:.0} µs", micros(time)),
        1_000_000..1_000_000_000 => milliseconds(time),
        _ => duration(time),
    }
}

/// `0.12 s of its cores' time stolen, 1.30 s in which some thread waited for a core`; `None` of a
/// host that does not say.
pub(crate) fn host(host: &HostLoad) -> Option<String> {
    let steal = host.steal.map(|time| format!("{} of its cores' time stolen", duration(time)));
    let waiting = |time| format!("{} in which some thread waited for a core", duration(time));
    let told: Vec<String> = steal.into_iter().chain(host.pressure.map(waiting)).collect();
    (!told.is_empty()).then(|| told.join(", "))
}

/// The same for programs.
pub(crate) fn host_json(host: &HostLoad) -> Value {
    json!({
        "stealSeconds": host.steal.map(|time| time.as_secs_f64()),
        "cpuPressureSeconds": host.pressure.map(|time| time.as_secs_f64()),
    })
}

/// Microseconds, with what is smaller behind the point.
#[allow(clippy::cast_precision_loss)] // A float holds the nanoseconds of 104 days.
pub(crate) fn micros(duration: Duration) -> f64 {
    duration.as_nanos() as f64 / 1e3
}

/// Events, or anything, per second of a time that may be nothing.
#[allow(clippy::cast_precision_loss)] // A rate is shown with a few digits.
pub(crate) fn per_second(n: u64, elapsed: Duration) -> f64 {
    n as f64 / elapsed.as_secs_f64().max(1e-9)
}

/// A part of a whole as a ratio; 0 of nothing.
#[allow(clippy::cast_precision_loss)] // A ratio is shown with a few digits.
pub(crate) fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_from_the_right() {
        for (n, text) in [(0, "0"), (999, "999"), (1_000, "1 000"), (12_345_678, "12 345 678")] {
            assert_eq!(count(n), text);
        }
        assert_eq!(events(1), "1 event");
        assert_eq!(rate(1234.4), "1 234/s");
    }

    #[test]
    fn durations_are_short() {
        assert_eq!(duration(Duration::from_millis(620)), "0.62 s");
        assert_eq!(duration(Duration::from_millis(63_400)), "1m 3s");
        for (nanos, text) in
            [(340, "0.3 µs"), (62_600, "63 µs"), (2_310_000, "2.31 ms"), (1_200_000_000, "1.20 s")]
        {
            assert_eq!(brief(Duration::from_nanos(nanos)), text);
        }
        for (millis, text) in [(0, "0s"), (1, "1s"), (63_400, "1m 4s"), (7_325_000, "2h 2m")] {
            assert_eq!(about(Duration::from_millis(millis)), text);
        }
    }
}
