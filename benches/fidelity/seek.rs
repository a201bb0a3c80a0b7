//! How soon the first event leaves: after somebody goes to another place of a long tape, and of a
//! replay that begins somewhere on it.
//!
//! Places are random times of the tape. Somebody goes there at random moments while the replay plays:
//! at the tape's own rhythm, and so slowly that the player sleeps nearly always. The sink keeps when
//! the first event from elsewhere was given to it; that it is the right one is looked up afterwards,
//! so that nothing is read before it is wanted. How much of the tape is in the page cache is left to
//! the system.

use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use changetape_benches::Error;
use changetape_benches::arguments::Arguments;
use changetape_core::{Position, Seq, WallTime};
use changetape_replayer::sink::Taken;
use changetape_replayer::{
    Command, Control, Error as ReplayError, Outgoing, Progress, Replay, ReplayOptions, SeekTo,
    Selection, Sink, Speed, Stop, Tally,
};
use changetape_tape::TapeReader;
use fastrand::Rng;

use crate::runs::Reach::AtMost;
use crate::runs::{self, Reaches, Runs, tell_percentiles};
use crate::{rounds, tapes};

const SEED: u64 = 5;

/// How often somebody goes elsewhere in a run, and how often a replay begins.
const SEEKS: usize = 200;
const BEGINNINGS: usize = 20;

/// For how long it plays at most before somebody goes on.
const STAY: Duration = Duration::from_millis(20);

/// How long an event may take before it is said that none came.
const PATIENCE: Duration = Duration::from_secs(60);

const FIRST: &str = "first event";
const REACHES: Reaches =
    &[("first event p50, ms", AtMost(50.0)), ("first event max, ms", AtMost(50.0))];

/// Goes about on the tape, and begins on it, in turn.
pub(crate) fn measure(arguments: &Arguments, runs: &mut Runs) -> Result<(), Error> {
    let gigabytes = arguments.or("--gigabytes", 10.0)?;
    let path = tapes::long(gigabytes)?;
    for _ in 0..rounds(arguments)? {
        for (phase, name, speed) in [
            ("seek", "seek", "1"),
            ("seek", "seek at 0.001x", "0.001"),
            ("begin", "a replay from somewhere", "1"),
        ] {
            let arguments = ["--tape", &path.to_string_lossy(), "--speed", speed];
            runs.add(&format!("{gigabytes} GB, {name}"), REACHES, || {
                runs::phase(phase, &arguments.map(str::to_owned))
            })?;
        }
    }
    Ok(())
}

/// A sink that says when it was given an event that does not follow the one before.
struct Watching {
    next: Option<Seq>,
    came: Sender<(Seq, Instant)>,
}

impl Sink for Watching {
    fn deliver(
        &mut self,
        due: &[Outgoing<'_>],
        _tally: &mut Tally,
        _stop: &Stop,
    ) -> Result<Taken, ReplayError> {
        let now = Instant::now();
        if let Some(first) = due.first().filter(|first| self.next != Some(first.seq)) {
            // Whoever has heard enough does not listen any more.
            let _ = self.came.send((first.seq, now));
        }
        self.next = due.last().map(|last| last.seq.next());
        Ok(Taken::Events(due.len()))
    }
}

/// A replay that runs, and what its sink says.
struct Running {
    control: Control,
    stop: Stop,
    came: Receiver<(Seq, Instant)>,
    thread: thread::JoinHandle<Result<(), ReplayError>>,
}

impl Running {
    fn start(tape: TapeReader, options: ReplayOptions) -> Self {
        let (sender, came) = mpsc::channel();
        let (control, stop) = (Control::default(), Stop::default());
        let replay = Replay::new(tape, options, Box::new(Watching { next: None, came: sender }));
        let replay = replay.with_control(control.clone());
        let thread = thread::spawn({
            let stop = stop.clone();
            move || replay.run(&Progress::default(), &stop).map(drop)
        });
        Self { control, stop, came, thread }
    }

    /// The next event that comes from elsewhere, and when it came.
    fn next(&self) -> Result<(Seq, Instant), Error> {
        Ok(self.came.recv_timeout(PATIENCE)?)
    }

    fn end(self) -> Result<(), Error> {
        self.stop.request();
        Ok(self.thread.join().map_err(|_| "the replay panicked")??)
    }
}

/// A long tape, and places on it.
struct Places<'a> {
    path: &'a Path,
    /// All of its times, in milliseconds.
    times: RangeInclusive<i64>,
    random: Rng,
    /// Which times were chosen, and with which events it went on there.
    gone_to: Vec<(Position, Seq)>,
    /// Milliseconds.
    took: Vec<f64>,
}

impl<'a> Places<'a> {
    fn of(arguments: &'a Arguments) -> Result<(Self, ReplayOptions), Error> {
        let path = Path::new(arguments.text("--tape").ok_or("no --tape")?);
        let times = TapeReader::open(path)?.summary()?.wall_times.ok_or("no times")?;
        let times = times.0.as_millis()..=times.1.as_millis();
        let speed = Speed::factor(arguments.required("--speed")?).ok_or("no speed")?;
        let options = ReplayOptions { speed, ..ReplayOptions::default() };
        let (random, gone_to, took) = (Rng::with_seed(SEED), Vec::new(), Vec::new());
        Ok((Self { path, times, random, gone_to, took }, options))
    }

    fn choose(&mut self) -> Position {
        Position::Time(WallTime::from_millis(self.random.i64(self.times.clone())))
    }

    fn went(&mut self, to: Position, asked: Instant, (seq, came): (Seq, Instant)) {
        self.gone_to.push((to, seq));
        self.took.push(came.saturating_duration_since(asked).as_secs_f64() * 1e3);
    }

    fn tell(mut self) -> Result<(), Error> {
        let tape = TapeReader::open(self.path)?;
        for (place, seq) in self.gone_to {
            let right = tape.seek(place)?;
            if right != seq {
                return Err(format!("{place}: went to {seq} instead of {right}").into());
            }
        }
        tell_percentiles(FIRST, "ms", &mut self.took, &[50.0, 99.0]);
        Ok(())
    }
}

/// The phase in which somebody goes to other places of a replay.
pub(crate) fn seek(arguments: &Arguments) -> Result<(), Error> {
    let (mut places, options) = Places::of(arguments)?;
    let running = Running::start(TapeReader::open(places.path)?, options);
    running.next()?;
    for _ in 0..SEEKS {
        thread::sleep(STAY.mul_f64(places.random.f64()));
        let place = places.choose();
        let asked = Instant::now();
        let answer = running.control.ask(Command::Seek(SeekTo::Position(place)));
        let first = running.next()?;
        places.went(place, asked, first);
        answer.recv()?.map_err(|why| why.to_string())?;
    }
    running.end()?;
    places.tell()
}

/// The phase in which replays begin.
pub(crate) fn begin(arguments: &Arguments) -> Result<(), Error> {
    let (mut places, options) = Places::of(arguments)?;
    for _ in 0..BEGINNINGS {
        let place = places.choose();
        let selection = Selection { start: Some(place), ..Selection::default() };
        let opened = Instant::now();
        let tape = TapeReader::open(places.path)?;
        let running = Running::start(tape, ReplayOptions { selection, ..options.clone() });
        let first = running.next()?;
        places.went(place, opened, first);
        running.end()?;
    }
    places.tell()
}
