//! A tape in its own rhythm, over loopback to a receiver that is a process of its own.
//!
//! Events arrived at random, a thousand a second and ten thousand, 600 bytes each; they leave as canonical
//! NDJSON in an envelope. Beside the player a loop that does what is usual: tokio's `sleep_until`, then
//! the same bytes through the same sink, from a tape that it has in memory.

use std::time::Duration;

use changetape_benches::arguments::Arguments;
use changetape_benches::{Error, process};
use changetape_core::Seq;
use changetape_replayer::clock::Instant;
use changetape_replayer::sink::stream::{Envelope, Form};
use changetape_replayer::{
    Outgoing, Progress, Replay, ReplayOptions, Sink, SinkAddress, SinkOptions, Stop, Tally,
    TimeSource, TimelineOptions, Transaction,
};
use changetape_tape::TapeReader;
use tokio::runtime::Runtime;

use crate::receiver::{Receiver, WRONG};
use crate::runs::Reach::{AtMost, Never};
use crate::runs::{self, Reaches, Runs, tell, tell_percentiles};
use crate::{rounds, tapes};

/// Events that the player itself says left before they were due.
const EARLY: &str = "left early";

/// Of whoever sends the events.
const CPU: &str = "CPU, % of a core";

/// Of a thousand events a second.
const THOUSAND: Reaches = &[
    ("lateness p50, µs", AtMost(5.0)),
    ("lateness p90, µs", AtMost(60.0)),
    ("lateness p99, µs", AtMost(300.0)),
    ("drift either way, ppm", AtMost(5.0)),
    (CPU, AtMost(10.0)),
    ("received - due p50, µs", AtMost(30.0)),
    ("received - due p99, µs", AtMost(350.0)),
    (EARLY, Never),
    (WRONG, Never),
];

/// Of ten thousand.
const TEN_THOUSAND: Reaches =
    &[("lateness p99, µs", AtMost(500.0)), (EARLY, Never), (WRONG, Never)];

/// Plays both tapes by both means, in turn.
pub(crate) fn measure(arguments: &Arguments, runs: &mut Runs) -> Result<(), Error> {
    let seconds = arguments.or("--seconds", 60)?;
    let made = [(1_000, "1 000/s", THOUSAND), (10_000, "10 000/s", TEN_THOUSAND)]
        .into_iter()
        .map(|(rate, name, reaches)| Ok((tapes::poisson(rate, seconds)?, name, reaches)))
        .collect::<Result<Vec<_>, Error>>()?;
    for _ in 0..rounds(arguments)? {
        for (path, name, reaches) in &made {
            let events = TapeReader::open(path)?.end().get();
            for (phase, by, reaches) in [("play", "a replay", *reaches), ("tokio", "tokio", &[])] {
                runs.add(&format!("{name}, {by}"), reaches, || {
                    let receiver = Receiver::start(events)?;
                    let arguments = ["--tape", &path.to_string_lossy(), "--port", &receiver.port];
                    let mut figures = runs::phase(phase, &arguments.map(str::to_owned))?;
                    figures.extend(receiver.finish()?);
                    Ok(figures)
                })?;
            }
        }
    }
    Ok(())
}

/// The tape, and a sink to the receiver. What the sink needs of a runtime lasts as long as that.
fn open(arguments: &Arguments) -> Result<(TapeReader, Box<dyn Sink>, Runtime), Error> {
    let tape = TapeReader::open(arguments.text("--tape").ok_or("no --tape")?.as_ref())?;
    let port: u16 = arguments.required("--port")?;
    let address: SinkAddress = format!("tcp://127.0.0.1:{port}").parse()?;
    let form = Form { envelope: Envelope::Times, ..Form::default() };
    let runtime = Runtime::new()?;
    let sink = runtime.block_on(address.open(SinkOptions { form, ..SinkOptions::default() }))?;
    Ok((tape, sink, runtime))
}

/// The phase of the player, which says itself how late events left.
pub(crate) fn play(arguments: &Arguments) -> Result<(), Error> {
    let (tape, sink, _runtime) = open(arguments)?;
    let timeline = TimelineOptions { source: TimeSource::Arrival, ..TimelineOptions::default() };
    let options = ReplayOptions { timeline, ..ReplayOptions::default() };
    let cpu = process::cpu_seconds()?;
    let summary = Replay::new(tape, options, sink).run(&Progress::default(), &Stop::default())?;
    let cpu = process::cpu_seconds()? - cpu;
    let fidelity = summary.fidelity.ok_or("nothing was paced")?;
    let late = &fidelity.lateness;
    for (part, of) in [
        ("p50", late.p50),
        ("p90", late.p90),
        ("p99", late.p99),
        ("p99.9", late.p999),
        ("max", late.max),
    ] {
        tell(&format!("lateness {part}, µs"), micros(of));
    }
    tell("drift either way, ppm", fidelity.drift_ppm.unwrap_or(f64::NAN).abs());
    tell(CPU, 100.0 * cpu / summary.elapsed.as_secs_f64());
    tell(EARLY, late.early as f64);
    Ok(())
}

/// The phase of the loop.
pub(crate) fn sleep_until(arguments: &Arguments) -> Result<(), Error> {
    let (tape, mut sink, runtime) = open(arguments)?;
    let blocks: Vec<_> = tape.blocks(Seq::ZERO).collect::<Result<_, _>>()?;
    let (mut tally, stop) = (Tally::default(), Stop::default());
    sink.begin(tape.metadata())?;
    let cpu = process::cpu_seconds()?;
    let (begun, begun_tokio) = (Instant::now(), tokio::time::Instant::now());
    let mut late = runtime.block_on(async {
        let (mut first, mut late) = (None, Vec::new());
        for recorded in blocks.iter().flat_map(|block| block.events()) {
            let arrived = recorded.arrival.monotonic_nanos;
            let after = Duration::from_nanos(arrived - *first.get_or_insert(arrived));
            let due = begun.after(after);
            tokio::time::sleep_until(begun_tokio + after).await;
            late.push(Instant::now().nanos_after(due) as f64 / 1e3);
            let (seq, event, transaction) = (recorded.seq, recorded.event, Transaction::None);
            sink.deliver(&[Outgoing { seq, event, transaction, due }], &mut tally, &stop)?;
        }
        Ok::<_, Error>(late)
    })?;
    let cpu = process::cpu_seconds()? - cpu;
    let elapsed = Instant::now().since(begun);
    sink.finish()?;
    tell_percentiles("lateness", "µs", &mut late, &[50.0, 90.0, 99.0, 99.9]);
    tell(CPU, 100.0 * cpu / elapsed.as_secs_f64());
    Ok(())
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}
