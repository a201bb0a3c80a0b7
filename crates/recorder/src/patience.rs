//! `Patience`: how long to wait for the stream to open, or for a batch, before the connection is
//! taken for dead: beyond the time that the server was told to wait. A healthy server may take long
//! while it skips a stretch of oplog that the pipeline does not match, or looks documents up; so
//! patience doubles each time, and whoever was slow may be as slow again.
//!
//! This is the last resort, for a connection that died alone. When a server cannot be reached at
//! all, the driver's monitor notices sooner (by default after `heartbeatFrequencyMS` and
//! `connectTimeoutMS`, 20 s) and ends the wait.

use std::time::Duration;

use changetape_deployment::Deployment;

use crate::Fetch;

/// With whatever is asked of one stream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    least: Duration,
    now: Duration,
}

impl Patience {
    /// With a stream of which nothing is known yet.
    pub(crate) fn with(deployment: &Deployment, fetch: Fetch) -> Self {
        let least = deployment.patience().saturating_add(fetch.max_await);
        Self { least, now: least }
    }

    /// How long the next answer is waited for.
    pub(crate) fn now(self) -> Duration {
        self.now
    }

    /// None came.
    pub(crate) fn no_answer(&mut self) {
        self.now = self.now.saturating_mul(2);
    }

    /// A batch came that was waited for so long.
    pub(crate) fn answered(&mut self, after: Duration) {
        self.now = self.least.max(after.saturating_mul(2));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_grows_with_each_failure_and_with_a_slow_answer() {
        let seconds = Duration::from_secs;
        let mut patience = Patience { least: seconds(61), now: seconds(61) };
        patience.no_answer();
        assert_eq!(patience.now(), seconds(122));
        // As slow again is in time.
        patience.answered(seconds(100));
        assert_eq!(patience.now(), seconds(200));
        patience.answered(seconds(1));
        assert_eq!(patience.now(), seconds(61));
        (0..100).for_each(|_| patience.no_answer());
        assert_eq!(patience.now(), Duration::MAX);
    }
}
