//! What else a host is busy with, as Linux tells it: a replay that leaves late on a crowded machine
//! is to be told from one that is slow.

use std::time::Duration;

/// What `/proc/stat` counts in: `USER_HZ`, which is 100 a second wherever this runs.
const TICK_MILLIS: u64 = 10;

/// Beyond which part of the time a host is busy with others. Steal is time in which nothing here
/// could run at all; some waiting for a core there is on every machine.
const HIGH_STEAL: f64 = 0.02;
const HIGH_PRESSURE: f64 = 0.1;

/// How much time others took. `None` where the system does not say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostLoad {
    /// Time for which the hypervisor gave cores of this machine to others, summed over its cores.
    pub steal: Option<Duration>,
    /// Time for which some thread of this machine had to wait for a core (PSI, "some").
    pub pressure: Option<Duration>,
}

impl HostLoad {
    /// Since the machine was started.
    #[must_use]
    pub fn until_now() -> Self {
        let read = |path| std::fs::read_to_string(path).ok();
        Self {
            steal: read("/proc/stat").and_then(|stat| steal(&stat)),
            pressure: read("/proc/pressure/cpu").and_then(|pressure| some_pressure(&pressure)),
        }
    }

    /// What came to what there was before.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let since = |now: Option<Duration>, before: Option<Duration>| {
            now.zip(before).map(|(now, before)| now.saturating_sub(before))
        };
        Self {
            steal: since(self.steal, before.steal),
            pressure: since(self.pressure, before.pressure),
        }
    }

    /// Whether that is much of so long a time: figures of such a time say little of a machine.
    #[must_use]
    pub fn is_high(&self, elapsed: Duration) -> bool {
        let is_beyond = |time: Option<Duration>, part: f64| {
            time.is_some_and(|time| time.as_secs_f64() > part * elapsed.as_secs_f64())
        };
        is_beyond(self.steal, HIGH_STEAL) || is_beyond(self.pressure, HIGH_PRESSURE)
    }
}

/// The eighth figure of all cores in `/proc/stat` (see `proc_stat(5)`).
fn steal(stat: &str) -> Option<Duration> {
    let all = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: u64 = all.split_ascii_whitespace().nth(7)?.parse().ok()?;
    Some(Duration::from_millis(ticks.checked_mul(TICK_MILLIS)?))
}

/// The total of the line `some` in `/proc/pressure/cpu`, in microseconds.
fn some_pressure(pressure: &str) -> Option<Duration> {
    let some = pressure.lines().find_map(|line| line.strip_prefix("some "))?;
    let total = some.split_ascii_whitespace().find_map(|word| word.strip_prefix("total="))?;
    Some(Duration::from_micros(total.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steal_is_read_from_the_line_of_all_cores() {
        let stat = "cpu  3423178 2447323 894079 6143821 210996 0 76470 77906 0 0\n\
                    cpu0 1 2 3 4 5 6 7 8 9 10\n";
        assert_eq!(steal(stat), Some(Duration::from_millis(779_060)));
        for other in ["", "cpu", "cpu0 1 2 3 4 5 6 7 8 9", "cpu 1 2 3 4", "cpu 1 2 3 4 5 6 7 x"] {
            assert_eq!(steal(other), None, "{other:?}");
        }
        assert_eq!(steal(&format!("cpu 1 2 3 4 5 6 7 {}", u64::MAX)), None);
    }

    #[test]
    fn pressure_is_read_from_the_line_of_some() {
        let pressure = "some avg10=4.50 avg60=4.75 avg300=4.73 total=17313241964\n\
                        full avg10=0.00 avg60=0.00 avg300=0.00 total=7\n";
        assert_eq!(some_pressure(pressure), Some(Duration::from_micros(17_313_241_964)));
        for other in ["", "some", "full total=7", "some total=", "some total=x"] {
            assert_eq!(some_pressure(other), None, "{other:?}");
        }
    }

    #[test]
    fn what_is_not_said_before_or_after_is_not_said_of_the_time_between() {
        let load = |steal: Option<u64>, pressure: Option<u64>| HostLoad {
            steal: steal.map(Duration::from_secs),
            pressure: pressure.map(Duration::from_secs),
        };
        let between = load(Some(9), Some(5)).since(&load(Some(7), None));
        assert_eq!(between, load(Some(2), None));
        // Counters of a machine that was moved may go backwards.
        assert_eq!(load(Some(1), None).since(&load(Some(7), None)), load(Some(0), None));
    }

    #[test]
    fn a_host_is_busy_beyond_a_part_of_the_time() {
        let load = |steal, pressure| HostLoad {
            steal: Some(Duration::from_millis(steal)),
            pressure: Some(Duration::from_millis(pressure)),
        };
        let second = Duration::from_secs(1);
        assert!(!load(20, 100).is_high(second));
        assert!(load(21, 0).is_high(second));
        assert!(load(0, 101).is_high(second));
        assert!(!HostLoad::default().is_high(second));
    }
}
