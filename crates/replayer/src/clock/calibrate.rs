//! What this machine can do: how late a thread is woken by each way of waiting, and what that
//! costs.
//!
//! Each method waits for the same instants, which are as far apart as events that come at random,
//! 1 000 a second; each on a thread of its own, one after the other. As in a replay, an instant that
//! passed while the one before was waited for is late, is not waited for, and moves no other.

use std::thread;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::spin::{self, Spin};
use super::{Clock as _, HostClock, Instant, Interrupts, Timer, sleep};
use crate::{Control, Error, HostLoad, Stop};

/// How far apart the instants are in the mean.
const GAP: Duration = Duration::from_millis(1);

/// A way of waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Asynchronously, as programs on tokio do.
    Tokio,
    /// For a while, as most programs do.
    ThreadSleep,
    /// Until an instant: [`Timer::Coarse`].
    Absolute,
    /// The same, woken as soon as the system can.
    LeastSlack,
    /// The same, woken early, with a spin for the rest: [`Timer::Precise`].
    Spin,
}

impl Method {
    /// All of them, each better than the one before it.
    pub const ALL: [Self; 5] =
        [Self::Tokio, Self::ThreadSleep, Self::Absolute, Self::LeastSlack, Self::Spin];
}

/// What a method did.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// Which.
    pub method: Method,
    /// How many instants were waited for.
    pub wake_ups: usize,
    /// Half of the wake-ups were no later.
    pub p50: Duration,
    /// 90 of 100 were no later.
    pub p90: Duration,
    /// 99 of 100 were no later.
    pub p99: Duration,
    /// The latest.
    pub max: Duration,
    /// How much of a core it took: 1 is all of it.
    pub cpu: f64,
}

/// What a machine can do.
#[derive(Debug, Clone, PartialEq)]
pub struct Calibration {
    /// What each method did.
    pub methods: Vec<Measured>,
    /// How long before an event is due a replay that began now would end its sleep.
    pub spin: Duration,
    /// How long all of it took.
    pub elapsed: Duration,
    /// What the host was busy with meanwhile.
    pub host: HostLoad,
}

/// Measures every method for so long; `begins` is told of each before it is measured.
///
/// # Errors
/// [`Error::Thread`].
pub fn calibrate(duration: Duration, mut begins: impl FnMut(Method)) -> Result<Calibration, Error> {
    let (host, begin) = (HostLoad::until_now(), Instant::now());
    let spin = on_a_thread(|| Ok(HostClock::calibrated(Timer::Precise).spin.length()))?;
    let mut methods = Vec::new();
    for method in Method::ALL {
        begins(method);
        methods.push(on_a_thread(|| measure(method, duration, spin))?);
    }
    let elapsed = Instant::now().since(begin);
    Ok(Calibration { methods, spin, elapsed, host: HostLoad::until_now().since(&host) })
}

/// Timer slack is a thread's own.
fn on_a_thread<T: Send>(job: impl FnOnce() -> Result<T, Error> + Send) -> Result<T, Error> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().name("changetape-timer".to_owned());
        let job = thread.spawn_scoped(scope, job).map_err(Error::Thread)?;
        job.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn measure(method: Method, duration: Duration, spin: Duration) -> Result<Measured, Error> {
    let mut wait = wait_by(method, spin)?;
    let mut late = Vec::new();
    let (begin, cpu) = (Instant::now(), cpu_time());
    let mut due = begin;
    for n in 1_u32.. {
        due = due.after_nanos(gap_nanos(n));
        // At least one, however short the time.
        if n > 1 && due.since(begin) > duration {
            break;
        }
        if Instant::now() < due {
            wait(due);
        }
        late.push(Instant::now().since(due));
    }
    let cpu = cpu_time().saturating_sub(cpu).as_secs_f64();
    let elapsed = Instant::now().since(begin).as_secs_f64();
    late.sort_unstable();
    let at = |percent| spin::percentile(&late, percent).unwrap_or_default();
    Ok(Measured {
        method,
        wake_ups: late.len(),
        p50: at(50),
        p90: at(90),
        p99: at(99),
        max: at(100),
        cpu: cpu / elapsed.max(1e-9),
    })
}

/// Waits by a method.
fn wait_by(method: Method, spin: Duration) -> Result<Box<dyn FnMut(Instant)>, Error> {
    Ok(match method {
        Method::Tokio => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
            let runtime = runtime.map_err(Error::Thread)?;
            Box::new(move |due| {
                runtime.block_on(async {
                    let left = due.since(Instant::now());
                    tokio::time::sleep_until(tokio::time::Instant::now() + left).await;
                });
            })
        }
        Method::ThreadSleep => Box::new(|due| thread::sleep(due.since(Instant::now()))),
        Method::Absolute => by(HostClock::usual(Timer::Coarse)),
        Method::LeastSlack => {
            sleep::set_slack(sleep::Slack::Least);
            by(HostClock { spin: Spin::None })
        }
        Method::Spin => {
            sleep::set_slack(sleep::Slack::Least);
            by(HostClock { spin: Spin::of(spin) })
        }
    })
}

/// Waits as a replay does.
fn by(mut clock: HostClock) -> Box<dyn FnMut(Instant)> {
    let (stop, control) = (Stop::default(), Control::default());
    Box::new(move |due| {
        clock.wait_until(due, Interrupts { stop: &stop, control: &control });
    })
}

/// How far behind the instant before it the n-th is: as in a Poisson process, but the same in every
/// run. The fractions of multiples of the golden ratio lie evenly between 0 and 1.
fn gap_nanos(n: u32) -> u64 {
    let evenly = (f64::from(n) * 0.618_033_988_749_895).fract();
    let gap = GAP.mul_f64(-(1.0 - evenly).ln());
    super::nanos(gap)
}

/// What the thread that calls has taken of a core so far.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    // Neither is negative.
    Duration::from_secs(time.tv_sec.unsigned_abs())
        + Duration::from_nanos(time.tv_nsec.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_instants_are_as_far_apart_as_events_that_come_at_random() {
        let gaps: Vec<u64> = (1..=10_000).map(gap_nanos).collect();
        let mean = gaps.iter().sum::<u64>() / 10_000;
        assert!((990_000..=1_010_000).contains(&mean), "{mean}");
        // Of a Poisson process, 1 - 1/e of the gaps are shorter than the mean.
        let shorter = gaps.iter().filter(|gap| **gap < 1_000_000).count();
        assert!((6_300..=6_340).contains(&shorter), "{shorter}");
    }

    #[test]
    fn every_method_is_measured_and_none_wakes_early() {
        let mut told = Vec::new();
        let calibration = calibrate(Duration::from_millis(5), |method| told.push(method)).unwrap();
        assert_eq!(told, Method::ALL);
        let methods: Vec<_> = calibration.methods.iter().map(|measured| measured.method).collect();
        assert_eq!(methods, Method::ALL);
        for measured in &calibration.methods {
            assert!(measured.wake_ups > 0 && measured.cpu >= 0.0, "{measured:?}");
            assert!(measured.p50 <= measured.p90 && measured.p90 <= measured.p99, "{measured:?}");
            assert!(measured.p99 <= measured.max, "{measured:?}");
        }
        assert!(calibration.spin >= spin::LEAST);
    }
}
