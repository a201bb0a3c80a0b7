//! What ends a session whatever it is waiting for.

use std::time::{Duration, Instant};

use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;

use crate::Ending;

/// Being told to stop, and the moment at which its time is over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct End<'a> {
    stop: &'a CancellationToken,
    over: Option<Instant>,
}

impl<'a> End<'a> {
    /// The end of what begins now and may take `duration`.
    pub(crate) fn of(stop: &'a CancellationToken, duration: Option<Duration>) -> Self {
        // A moment too far away to be told is never.
        let over = duration.and_then(|duration| Instant::now().checked_add(duration));
        Self { stop, over }
    }

    /// What comes of something, unless the end comes first.
    pub(crate) async fn or<T>(self, doing: impl Future<Output = T>) -> Result<T, Ending> {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(Ending::Stopped),
            () = until(self.over) => Err(Ending::Duration),
            done = doing => Ok(done),
        }
    }
}

/// Waits for a moment; for ever if there is none.
async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whatever_never_comes_is_ended() {
        let stop = CancellationToken::new();
        let never = std::future::pending::<()>;
        let soon = End::of(&stop, Some(Duration::from_millis(1)));
        assert_eq!(soon.or(never()).await, Err(Ending::Duration));
        let later = End::of(&stop, Some(Duration::MAX));
        assert_eq!(later.or(async { 7 }).await, Ok(7));
        stop.cancel();
        for duration in [None, Some(Duration::MAX)] {
            assert_eq!(End::of(&stop, duration).or(never()).await, Err(Ending::Stopped));
        }
    }
}
