//! `Runs`: phases in processes of their own, and what all of them said.

use std::process::{Command, Stdio};
use std::time::Instant;

use changetape_benches::{Error, median};
use changetape_replayer::HostLoad;

/// What a run says: names with their units, and values.
pub(crate) type Figures = Vec<(String, f64)>;

/// What is to be reached.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Reach {
    AtMost(f64),
    AtLeast(f64),
    /// Not once in all runs.
    Never,
}

/// What is to be reached of which figures; the others are there to be looked at.
pub(crate) type Reaches = &'static [(&'static str, Reach)];

/// The figures of all runs, by what ran.
#[derive(Debug, Default)]
pub(crate) struct Runs(Vec<Group>);

#[derive(Debug, Default)]
struct Group {
    of: String,
    rows: Vec<Row>,
    /// What the host was busy with in each run, in percent: of a core that was stolen, and of the time
    /// in which some thread waited for a core.
    stolen: Vec<f64>,
    waited: Vec<f64>,
}

#[derive(Debug)]
struct Row {
    figure: String,
    reach: Option<Reach>,
    values: Vec<f64>,
}

impl Runs {
    /// Has something run, shows what it says, and keeps that.
    pub(crate) fn add(
        &mut self,
        of: &str,
        reaches: Reaches,
        run: impl FnOnce() -> Result<Figures, Error>,
    ) -> Result<(), Error> {
        let (before, started) = (HostLoad::until_now(), Instant::now());
        let figures = run()?;
        let elapsed = started.elapsed();
        let HostLoad { steal, pressure } = HostLoad::until_now().since(&before);
        let [stolen, waited] = [steal, pressure].map(|time| {
            time.map_or(f64::NAN, |time| 100.0 * time.as_secs_f64() / elapsed.as_secs_f64())
        });
        println!("{of} (stolen {} %, waited {} %)", short(stolen), short(waited));
        for (figure, value) in &figures {
            println!("    {figure:44}{:>8}", short(*value));
        }
        let at = self.0.iter().position(|group| group.of == of).unwrap_or_else(|| {
            self.0.push(Group { of: of.to_owned(), ..Group::default() });
            self.0.len() - 1
        });
        if let Some(group) = self.0.get_mut(at) {
            group.stolen.push(stolen);
            group.waited.push(waited);
            group.add(figures, reaches);
        }
        Ok(())
    }

    /// All figures and what they are to reach, as a table for `README.md`.
    pub(crate) fn show(&self) {
        println!("\n| figure | reach | reached | all runs |\n| --- | --- | --- | --- |");
        for Group { of, rows, stolen, waited } in &self.0 {
            let (stolen, waited) = (all(stolen), all(waited));
            println!("| **{of}** | | | stolen {stolen} %, waited {waited} % |");
            for Row { figure, reach, values } in rows {
                let middle = short(median(values.iter().copied()));
                let (reach, reached) = match reach {
                    None => (String::new(), middle),
                    Some(Reach::AtMost(most)) => (format!(" ≤ {most}"), format!("**{middle}**")),
                    Some(Reach::AtLeast(least)) => (format!(" ≥ {least}"), format!("**{middle}**")),
                    Some(Reach::Never) => {
                        (" 0".to_owned(), format!("**{}**", short(values.iter().sum())))
                    }
                };
                println!("| {figure} |{reach} | {reached} | {} |", all(values));
            }
        }
    }
}

impl Group {
    fn add(&mut self, figures: Figures, reaches: Reaches) {
        for (figure, value) in figures {
            if let Some(row) = self.rows.iter_mut().find(|row| row.figure == figure) {
                row.values.push(value);
                continue;
            }
            let reach = reaches.iter().find(|(of, _)| *of == figure).map(|(_, reach)| *reach);
            self.rows.push(Row { figure, reach, values: vec![value] });
        }
    }
}

fn all(values: &[f64]) -> String {
    values.iter().copied().map(short).collect::<Vec<_>>().join(" ")
}

/// Three digits of it, or all before the point.
fn short(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        0.0 => "0".to_owned(),
        _ => format!("{value:.2}"),
    }
}

/// A phase in a process of its own, which prints its figures.
pub(crate) fn command(phase: &str, arguments: &[String]) -> Result<Command, Error> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--phase", phase]).args(arguments).stderr(Stdio::inherit());
    Ok(command)
}

/// Runs a phase.
pub(crate) fn phase(name: &str, arguments: &[String]) -> Result<Figures, Error> {
    let output = command(name, arguments)?.output()?;
    if !output.status.success() {
        return Err(format!("{name} ended with {}", output.status).into());
    }
    figures(&String::from_utf8(output.stdout)?)
}

/// What a phase has printed.
pub(crate) fn figures(text: &str) -> Result<Figures, Error> {
    let figure = |line: &str| {
        let (value, name) = line.split_once(' ').ok_or_else(|| format!("no figure: {line}"))?;
        Ok((name.to_owned(), value.parse()?))
    };
    text.lines().map(figure).collect()
}

/// Prints a figure for whoever has this phase run.
pub(crate) fn tell(name: &str, value: f64) {
    println!("{value} {name}");
}

/// Prints percentiles, and the largest.
pub(crate) fn tell_percentiles(what: &str, unit: &str, values: &mut [f64], percentiles: &[f64]) {
    values.sort_by(f64::total_cmp);
    for percentile in percentiles {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place")]
        let at = (percentile / 100.0 * values.len() as f64).ceil() as usize;
        let value = values.get(at.saturating_sub(1)).copied().unwrap_or(f64::NAN);
        tell(&format!("{what} p{percentile}, {unit}"), value);
    }
    tell(&format!("{what} max, {unit}"), values.last().copied().unwrap_or(f64::NAN));
}
