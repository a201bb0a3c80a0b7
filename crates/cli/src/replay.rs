//! `changetape replay` and `changetape cat`.

mod base;
mod control;
mod dry_run;
mod expiries;
mod fidelity;
mod line;
mod on_error;
mod passing;
mod summary;
mod verification;
mod watch;

use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use changetape_core::{Position, WallTime};
use changetape_replayer::verify::VerifyOptions;
use changetape_replayer::{
    Control, Ended, Error, Existing, LatenessLog, Progress, Replay, ReplayOptions, Restoration,
    Selection, SinkAddress, SinkOptions, Stop, Summary,
};
use changetape_tape::TapeReader;
use tokio_util::sync::CancellationToken;

use crate::args::{CatArgs, ControlArgs, Format, LatenessFile, OutputArgs, ReplayArgs};
use crate::exit::{Exit, exit_for};
use crate::{info, progress, report, signals};
use control::{Controls, keyboard};
use verification::Verification;
use watch::Watch;

/// How long after Ctrl-C or SIGTERM a reader of standard output has to take what is being printed.
const PRINTING_PATIENCE: Duration = Duration::from_secs(2);

/// How far the source's clock may be ahead of the recorder's, so that events seem to have arrived
/// before they happened: as far as Kerberos lets clocks be apart.
const CLOCKS_APART_MILLIS: i64 = 5 * 60 * 1000;

/// Runs `changetape replay`.
pub(crate) fn run(args: &ReplayArgs, output: &OutputArgs) -> anyhow::Result<Exit> {
    if args.proof.dry_run {
        return dry_run::run(args, output);
    }
    let sink = args.sink()?;
    let printing = sink == SinkAddress::Stdout;
    // What events are piped into may be a pager, whose keys these are.
    let takes_keys = !output.quiet && (!printing || io::stdout().is_terminal());
    let job = Job {
        tape: args.tape.path()?,
        verify: args.verification(&sink)?,
        options: args.options(&sink)?,
        lateness: args.lateness(&sink)?,
        sink,
        base: args.base()?,
        sink_options: SinkOptions { on_error: on_error::of(args.on_error)?, ..args.sink_options() },
        control: Some(&args.control),
        takes_keys: takes_keys && keyboard::is_there(),
    };
    // Events on a terminal leave no place for a progress line among them.
    let quiet = output.quiet || (printing && io::stdout().is_terminal());
    let tell = |text: &str| {
        if !printing {
            report::print(text)?;
        } else if !output.quiet {
            // Stdout has the events; what is said about them must not end up among them.
            // If stderr is closed, nobody wants to know.
            let _ = writeln!(io::stderr(), "{text}");
        }
        anyhow::Ok(())
    };
    let asked = job.verify.is_some();
    let unfinished = if asked { Verification::Unfinished } else { Verification::NotAsked };
    let progress = Arc::new(Progress::default());
    let played = job.play(&OutputArgs { quiet, ..output.clone() }, &progress);
    let done = played.inspect_err(|error| {
        if is_told(error, output) {
            let more = [
                ("delivered", progress.events().into()),
                ("bytes", progress.bytes().into()),
                ("verification", unfinished.json()),
            ];
            let json = summary::failed_json(&progress, error, more);
            // Where that cannot be told, the failure itself is what matters.
            let _ = tell(&json.to_string());
        }
    })?;
    tell(&match output.format {
        Format::Text => summary::text(&done.summary, &done.verification),
        Format::Json => summary::json(&done.summary, &done.verification).to_string(),
    })?;
    exit(done)
}

/// Whether programs are told how far a replay came that failed; a mistake of theirs began none.
fn is_told(error: &anyhow::Error, output: &OutputArgs) -> bool {
    output.format == Format::Json && exit_for(error) == Exit::Failed
}

/// Runs `changetape cat`.
pub(crate) fn cat(args: &CatArgs, output: &OutputArgs) -> anyhow::Result<Exit> {
    let job = Job {
        tape: args.tape.path()?,
        sink: SinkAddress::Stdout,
        verify: None,
        base: None,
        lateness: None,
        options: args.options(),
        sink_options: args.sink_options(),
        control: None,
        takes_keys: false,
    };
    // Events are all there is to see, unless they go somewhere else or something is amiss.
    let quiet = OutputArgs { quiet: true, ..output.clone() };
    let done = job.play(&quiet, &Arc::default())?;
    let summary = &done.summary;
    if summary.selected == 0 {
        tracing::info!("{}", summary::nothing(summary));
    }
    if let Some(hidden) = summary::hidden(summary) {
        tracing::info!("{hidden}");
    }
    for gap in summary.crossed() {
        tracing::warn!("{}", summary::crossed_line(gap));
    }
    for skipped in &summary.skipped {
        tracing::warn!("{}", summary::skipped_line(skipped));
    }
    exit(done)
}

/// One tape to be played into one sink.
struct Job<'a> {
    tape: &'a Path,
    sink: SinkAddress,
    /// How the sink is compared with the tape at the end, if it is.
    verify: Option<VerifyOptions>,
    /// Whether the base is restored first, and over what.
    base: Option<Existing>,
    /// Where it is written when events were due and when they left, if it is.
    lateness: Option<LatenessFile>,
    options: ReplayOptions,
    sink_options: SinkOptions,
    /// Who may ask it over HTTP, if anybody.
    control: Option<&'a ControlArgs>,
    /// Whether whoever sits at the terminal may ask it by keys.
    takes_keys: bool,
}

/// What came of it.
struct Done {
    summary: Summary,
    verification: Verification,
    /// Whether it was written when events were due and when they left, where that was asked for.
    logged: Result<(), Error>,
}

impl Job<'_> {
    /// Plays the tape, then compares.
    fn play(self, output: &OutputArgs, progress: &Arc<Progress>) -> anyhow::Result<Done> {
        if self.base.is_some() {
            self.sink.check_takes_base()?;
        }
        // The tape first: a target need not be bothered for a tape that cannot be read.
        let tape = TapeReader::open(self.tape)?;
        let base = |existing| Restoration::of(&tape, &self.options, existing);
        let base = self.base.map(base).transpose()?;
        if let Some(unseen) = info::unseen(tape.tail()) {
            tracing::info!("left out {unseen}");
        }
        if let Some(dropped) = dropped(&tape, &self.options.selection)? {
            tracing::info!("left out {dropped}");
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let played = runtime.block_on(async {
            let signalled = signals::stop_on_signal()?;
            let stop = stop_when(&signalled);
            let printing = self.sink == SinkAddress::Stdout;
            let listening = match self.control.and_then(|it| Some((it, it.address()?))) {
                Some((it, address)) => Some(control::listen(address, it.token_file()).await?),
                None => None,
            };
            let sink_options = SinkOptions { stop: stop.clone(), ..self.sink_options };
            let sink = self.sink.open(sink_options).await?;
            let log = self.lateness.map(|file| LatenessLog::create(&file.path, file.overwrite));
            let (log, rows) = log.transpose()?.unzip();
            let watch = Arc::new(Watch::new(Arc::clone(progress)));
            let shown = progress::show(output, line::line(Arc::clone(&watch)));
            let control = Control::default();
            let controls = Controls::new(control.clone(), signalled.clone(), watch);
            let keyboard = self.takes_keys.then(|| keyboard::watched(controls.clone()));
            let serving = listening.map(|listening| listening.serve(controls));
            let progress = Arc::clone(progress);
            let replay = Replay::new(tape, self.options, sink).with_base(base);
            let replay = replay.with_control(control).with_lateness(rows);
            let playing = tokio::task::spawn_blocking(move || replay.run(&progress, &stop));
            let played = tokio::select! {
                played = playing => played,
                () = unread(&signalled), if printing => {
                    tracing::warn!("nobody reads what is printed; stopped without finishing");
                    Exit::Interrupted.at_once();
                }
            };
            drop((keyboard, shown));
            if let Some(serving) = serving {
                serving.close().await;
            }
            let played = played.context("the replay ended unexpectedly; this is a bug")?;
            let logged = log.map_or(Ok(()), LatenessLog::finish);
            let played = played.inspect_err(|_| warn_if_not(&logged));
            let (Some(options), SinkAddress::Mongodb(uri)) = (self.verify, &self.sink) else {
                let verification = Verification::NotAsked;
                return Ok(Done { summary: played?, verification, logged });
            };
            let summary = played.inspect_err(|_| {
                tracing::warn!("the target was not compared with the tape");
            })?;
            let (tape, signalled) = (self.tape, &signalled);
            let verification =
                Verification::of(tape, uri, options, &summary, output, signalled).await;
            Ok(Done { summary, verification, logged })
        });
        // A comparison only reads: nothing has to be waited for. And the driver panics where its tasks
        // go one after the other, as when a transaction was left in the middle.
        std::mem::forget(runtime);
        played
    }
}

/// What was asked for and is no longer on the tape, in words.
fn dropped(tape: &TapeReader, selection: &Selection) -> anyhow::Result<Option<String>> {
    let Some(dropped) = tape.dropped() else { return Ok(None) };
    // Which times the dropped ones had is not known any more, but when the last of them arrived:
    // all had happened by then.
    let latest = dropped.arrived.as_millis().saturating_add(CLOCKS_APART_MILLIS);
    let reaches_back_to = |time: WallTime| {
        anyhow::Ok(time.as_millis() <= latest && selection.range(tape)?.start == tape.start())
    };
    let reaches_back = match selection.start {
        None => true,
        Some(Position::Seq(start)) => start < dropped.end,
        Some(Position::Time(time)) => reaches_back_to(time)?,
        Some(Position::Cluster(time)) => reaches_back_to(time.wall_time())?,
    };
    let events = report::events(dropped.events);
    Ok(reaches_back.then(|| {
        format!(
            "what was dropped (--retain): {events} before {}, the last of {}",
            dropped.end, dropped.arrived
        )
    }))
}

/// A request to stop that the first signal makes.
pub(crate) fn stop_when(signalled: &CancellationToken) -> Stop {
    let stop = Stop::default();
    let (told, signalled) = (stop.clone(), signalled.clone());
    tokio::spawn(async move {
        signalled.cancelled().await;
        told.request();
    });
    stop
}

/// Ends some time after the signal: a write to a pipe that nobody reads from never ends, so the
/// replay cannot be waited for.
async fn unread(signalled: &CancellationToken) {
    signalled.cancelled().await;
    tokio::time::sleep(PRINTING_PATIENCE).await;
}

/// Says beside a graver failure that lateness was not written.
fn warn_if_not(logged: &Result<(), Error>) {
    if let Err(error) = logged {
        tracing::warn!("{error}");
    }
}

fn exit(done: Done) -> anyhow::Result<Exit> {
    let summary = &done.summary;
    let exit = match (summary.ended, done.verification) {
        (_, Verification::Failed(error)) => {
            warn_if_not(&done.logged);
            return Err(error);
        }
        (Ended::Stopped, _) | (_, Verification::Interrupted) => Exit::Interrupted,
        (_, Verification::Done(_, compared)) if !compared.is_same() => Exit::Loss,
        (Ended::Late(_), _) if summary.is_faithful() => Exit::Missed,
        (Ended::AtTheEnd | Ended::SinkClosed, _) if summary.is_faithful() => Exit::Done,
        (Ended::AtTheEnd | Ended::SinkClosed | Ended::Late(_), _) => Exit::Loss,
    };
    // What was delivered is told first.
    done.logged?;
    Ok(exit)
}
