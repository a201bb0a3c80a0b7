//! Losing the power over a recording, at moments drawn at random.
//!
//! A moment is after a call that did something to the tape's disk. Each name of call is as
//! likely as any other: there are thousands of writes for each rename, and it is at the renames
//! that a tape changes hands.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io::BufReader;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use fastrand::Rng;

use crate::check::{Check, Reference};
use crate::image::{Image, Survival};
use crate::machine::Machine;
use crate::options::Options;
use crate::recording::{Recording, TAPE};
use crate::trace::{self, Step};

/// Images of each moment: one of exactly what is durable, and so many of more.
const MORE_IMAGES: usize = 2;

/// After so many that are not as they should be, no more are made.
const MOST_FAILURES: usize = 10;

/// What came of a recording.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    name: &'static str,
    calls: usize,
    moments: usize,
    images: usize,
    /// Images of which there was a tape.
    tapes: usize,
    /// Of all images: events that were acknowledged by then, and that were there besides.
    acknowledged: u64,
    extra: u64,
    /// What survived of what was pending.
    pending: usize,
    survived: usize,
    failures: Vec<String>,
    took: Duration,
}

impl Survey {
    /// Loses power over a recording.
    pub(crate) fn run(recording: &Recording, options: &Options) -> Result<Self> {
        let started = Instant::now();
        let mut random = Rng::with_seed(options.seed);
        let mut processes = Vec::new();
        for trace in recording.traces() {
            let context = || format!("cannot read {}; run without --again", trace.display());
            let file = File::open(&trace).with_context(context)?;
            processes.push(trace::read(BufReader::new(file)).with_context(context)?);
        }
        let reference =
            Reference::read(&recording.reference(), &recording.tape_directory().join(TAPE))?;
        let calls = calls(recording, &processes, reference.has_base())?;
        let moments = draw(&calls, recording.share(options.moments), &mut random);
        let mut survey = Self { name: recording.name, calls: calls.len(), ..Self::default() };
        let mut machine = new_machine(recording);
        let mut number = 0;
        for process in &processes {
            for step in process {
                if !machine.step(step)? {
                    continue;
                }
                for _ in 0..moments.get(&number).copied().unwrap_or(0) {
                    let after = name(step);
                    survey.moment(recording, &machine, &reference, (number, after), &mut random)?;
                }
                number += 1;
            }
            machine.end_process();
        }
        survey.took = started.elapsed();
        Ok(survey)
    }

    /// Whether every image was as it should be.
    pub(crate) fn is_sound(&self) -> bool {
        self.failures.is_empty()
    }

    fn moment(
        &mut self,
        recording: &Recording,
        machine: &Machine,
        reference: &Reference,
        (number, after): (usize, &str),
        random: &mut Rng,
    ) -> Result<()> {
        if self.failures.len() >= MOST_FAILURES {
            return Ok(());
        }
        self.moments += 1;
        for more in 0..=MORE_IMAGES {
            let survival = if more == 0 { Survival::NOTHING } else { Survival::some(random) };
            let image = Image::of(&machine.file_system, survival, random)?;
            let writing_first = random.bool();
            // Where it costs nothing that what opens it syncs it.
            let scratch = changetape_testkit::in_memory_dir()?;
            image.write(scratch.path())?;
            let tape = scratch.path().join(TAPE);
            let check = Check { reference, acknowledged: machine.acknowledged, writing_first };
            let checked = catch_unwind(AssertUnwindSafe(|| check.run(&tape)));
            let checked = checked.unwrap_or_else(|_| Err(anyhow!("it panicked; see above")));
            self.images += 1;
            self.pending += image.pending;
            self.survived += image.survived;
            self.acknowledged += machine.acknowledged.unwrap_or(0);
            match checked {
                Ok(None) => {}
                Ok(Some(end)) => {
                    self.tapes += 1;
                    self.extra += end - machine.acknowledged.unwrap_or(0);
                }
                Err(error) => {
                    let kept = recording.failed(self.failures.len());
                    keep(&image, &kept)?;
                    self.failures.push(format!(
                        "after call {number}, {after}, with {:.0}% of the data and {:.0}% of the \
                         names: {error:#}; see {}",
                        100.0 * survival.data,
                        100.0 * survival.names,
                        kept.display()
                    ));
                }
            }
        }
        Ok(())
    }
}

fn new_machine(recording: &Recording) -> Machine {
    Machine::new(&recording.tape_directory(), TAPE)
}

fn name(step: &Step) -> &str {
    match step {
        Step::Begins(call) | Step::Done(call, _) | Step::Failed(call) => &call.name,
    }
}

/// Every call that did something, by name. Checks that together they did what is on disk.
fn calls<'a>(
    recording: &Recording,
    processes: &'a [Vec<Step>],
    has_base: bool,
) -> Result<Vec<&'a str>> {
    let mut calls = Vec::new();
    let mut machine = new_machine(recording);
    for process in processes {
        for step in process {
            if machine.step(step)? {
                calls.push(name(step));
            }
        }
        machine.end_process();
    }
    machine.compare()?;
    ensure!(machine.acknowledged.is_some_and(|next| next > 0), "nothing was acknowledged");
    ensure!(machine.has_base == has_base, "when its base was acknowledged is not known");
    Ok(calls)
}

/// Draws moments: after which calls, and how often.
fn draw(calls: &[&str], moments: usize, random: &mut Rng) -> BTreeMap<usize, usize> {
    let mut by_name: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (number, name) in calls.iter().enumerate() {
        by_name.entry(name).or_default().push(number);
    }
    let mut drawn = BTreeMap::new();
    for _ in 0..moments {
        let numbers = random.choice(by_name.values());
        if let Some(number) = numbers.and_then(|numbers| random.choice(numbers)) {
            *drawn.entry(*number).or_default() += 1;
        }
    }
    drawn
}

/// Keeps an image that is not as it should be, as it was before it was opened.
fn keep(image: &Image, at: &Path) -> Result<()> {
    if at.exists() {
        fs::remove_dir_all(at)?;
    }
    fs::create_dir_all(at)?;
    image.write(at)
}

impl fmt::Display for Survey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, calls, moments, images, tapes, .. } = self;
        let Self { acknowledged, extra, pending, survived, took, failures, .. } = self;
        let seconds = took.as_secs_f64();
        let share = 100 * survived / (*pending).max(1);
        writeln!(f, "{name}: power lost at {moments} moments of {calls} calls ({seconds:.0} s)")?;
        writeln!(f, "  images        {images}, {tapes} of them with a tape")?;
        writeln!(f, "  not synced    {pending} pages and names, {share}% of which survived")?;
        writeln!(f, "  acknowledged  {acknowledged} events")?;
        writeln!(f, "  extra         {extra} events that were not acknowledged yet")?;
        if failures.is_empty() {
            writeln!(
                f,
                "  sound         every image: what was acknowledged is there, and nothing is wrong"
            )?;
        }
        for failure in failures {
            writeln!(f, "  FAILED {failure}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rare_calls_are_as_likely_as_frequent_ones() {
        let calls = [&["write"; 900][..], &["rename"; 2]].concat();
        let drawn = draw(&calls, 1000, &mut Rng::with_seed(3));
        let renames: usize = drawn.range(900..).map(|(_, n)| n).sum();
        assert!((400..600).contains(&renames), "{renames}");
        assert_eq!(drawn.values().sum::<usize>(), 1000);
    }
}
