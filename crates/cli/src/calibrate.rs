//! `changetape calibrate`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use changetape_replayer::clock::{Calibration, Measured, Method, calibrate};
use serde_json::{Value, json};

use crate::args::{CalibrateArgs, Format, OutputArgs};
use crate::exit::Exit;
use crate::progress::{self, Line};
use crate::report;

/// Runs the command.
pub(crate) fn run(args: &CalibrateArgs, output: &OutputArgs) -> anyhow::Result<Exit> {
    let begun = Arc::new(AtomicU64::new(0));
    let shown = progress::show(output, {
        let begun = Arc::clone(&begun);
        move || line(begun.load(Relaxed))
    });
    let calibration = calibrate(args.duration, |_| {
        begun.fetch_add(1, Relaxed);
    })?;
    drop(shown);
    report::print(&match output.format {
        Format::Text => text(&calibration),
        Format::Json => json(&calibration).to_string(),
    })?;
    Ok(Exit::Done)
}

/// Which method is measured, the first being 1.
fn line(begun: u64) -> Line {
    let done = begun.saturating_sub(1);
    let index = usize::try_from(done).unwrap_or(usize::MAX);
    let name = Method::ALL.get(index).map_or("", |&method| name(method));
    Line { text: format!("measuring {name}"), part: Some((done, Method::ALL.len() as u64)) }
}

fn name(method: Method) -> &'static str {
    match method {
        Method::Tokio => "tokio sleep_until",
        Method::ThreadSleep => "std::thread::sleep",
        Method::Absolute => "clock_nanosleep",
        Method::LeastSlack => "clock_nanosleep, slack 1 ns",
        Method::Spin => "clock_nanosleep, slack 1 ns, spin",
    }
}

/// For people.
fn text(calibration: &Calibration) -> String {
    let row = |[name, p50, p90, p99, max, cpu]: [&str; 6]| {
        format!("{name:34} {p50:>9} {p90:>9} {p99:>9} {max:>9} {cpu:>10}")
    };
    let mut lines = vec![row(["woken late by", "p50", "p90", "p99", "max", "of a core"])];
    lines.extend(calibration.methods.iter().map(|measured| {
        let Measured { method, p50, p90, p99, max, cpu, .. } = *measured;
        let [p50, p90, p99, max] = [p50, p90, p99, max].map(report::brief);
        row([name(method), &p50, &p90, &p99, &max, &format!("{:.1} %", cpu * 1e2)])
    }));
    lines.push(format!(
        "a replay would spin for {} before an event is due (--timer precise)",
        report::brief(calibration.spin)
    ));
    lines.extend(report::host(&calibration.host).map(|host| {
        let elapsed = report::duration(calibration.elapsed);
        if calibration.host.is_high(calibration.elapsed) {
            format!("the host was busy, so this is not its best: of {elapsed}, {host}")
        } else {
            format!("host: of {elapsed}, {host}")
        }
    }));
    lines.join("\n")
}

/// For programs.
fn json(calibration: &Calibration) -> Value {
    let methods = calibration.methods.iter().map(|measured| {
        json!({
            "method": name(measured.method),
            "wakeUps": measured.wake_ups,
            "p50Micros": report::micros(measured.p50),
            "p90Micros": report::micros(measured.p90),
            "p99Micros": report::micros(measured.p99),
            "maxMicros": report::micros(measured.max),
            "core": measured.cpu,
        })
    });
    json!({
        "methods": methods.collect::<Value>(),
        "spinMicros": report::micros(calibration.spin),
        "elapsedSeconds": calibration.elapsed.as_secs_f64(),
        "host": report::host_json(&calibration.host),
        "hostIsBusy": calibration.host.is_high(calibration.elapsed),
    })
}
