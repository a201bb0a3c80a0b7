//! How fast a workload runs.

use std::time::Duration;

use tokio::time::Instant;

/// How a workload's steps are spread over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pace {
    /// Each step begins when the one before has ended.
    #[default]
    AsFastAsPossible,
    /// The steps are spread evenly over this time; a step that is late is made at once.
    Over(Duration),
}

/// A pace that has begun.
#[derive(Debug)]
pub(super) struct Pacing {
    pace: Pace,
    start: Instant,
    steps: u32,
    done: u32,
}

impl Pacing {
    /// Begins now, with this many steps to come.
    pub(super) fn begin(pace: Pace, steps: u32) -> Self {
        Self { pace, start: Instant::now(), steps: steps.max(1), done: 0 }
    }

    /// Waits until the next step is due.
    pub(super) async fn next(&mut self) {
        if let Pace::Over(time) = self.pace {
            // From one anchor, so that being late once does not make everything late.
            let due = self.start + time.mul_f64(f64::from(self.done) / f64::from(self.steps));
            tokio::time::sleep_until(due).await;
        }
        self.done += 1;
    }
}
