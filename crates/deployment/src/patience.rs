//! How long an answer is waited for.
//!
//! The driver notices by its monitor when a server cannot be reached, and then ends what waits for
//! it. A connection that dies alone, while the monitor's lives, it waits on for ever: nothing says
//! that no answer will come. So whatever is asked of a server is asked within a time.

use std::io;
use std::time::Duration;

use mongodb::error::{Error as DriverError, ErrorKind};
use thiserror::Error;
use tokio::time::timeout;

use crate::Deployment;

/// How long to wait for an answer before the connection is taken for dead. A healthy server may
/// take some time: a node that lags waits itself until it has what is to be read.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Nothing came.
#[derive(Debug, Error)]
#[error("no answer within {} s", .0.as_secs_f64())]
struct NoAnswer(Duration);

/// Waits for an answer, and gives it up when patience ends: trying again can help then, as with
/// any connection that broke.
///
/// # Errors
/// The driver's own, or one that [`is_no_answer`] knows.
pub async fn within<T>(
    patience: Duration,
    answer: impl IntoFuture<Output = Result<T, DriverError>>,
) -> Result<T, DriverError> {
    let no_answer = |_| Err(io::Error::new(io::ErrorKind::TimedOut, NoAnswer(patience)).into());
    timeout(patience, answer.into_future()).await.unwrap_or_else(no_answer)
}

/// Whether an answer was given up: more patience could help, too.
#[must_use]
pub fn is_no_answer(error: &DriverError) -> bool {
    match error.kind.as_ref() {
        ErrorKind::Io(cause) => {
            cause.get_ref().and_then(|cause| cause.downcast_ref::<NoAnswer>()).is_some()
        }
        _ => false,
    }
}

impl Deployment {
    /// How long an answer is waited for: [`PATIENCE`], unless told otherwise.
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.patience
    }

    /// The same deployment, asked with more or less patience.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Waits for an answer with this deployment's patience; see [`within`].
    ///
    /// # Errors
    /// As [`within`].
    pub async fn answer<T>(
        &self,
        answer: impl IntoFuture<Output = Result<T, DriverError>>,
    ) -> Result<T, DriverError> {
        within(self.patience, answer).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::is_transient;

    #[tokio::test]
    async fn what_gives_no_answer_is_given_up_and_can_be_tried_again() {
        let never = std::future::pending::<Result<(), DriverError>>();
        let error = within(Duration::from_millis(1), never).await.unwrap_err();
        assert!(is_no_answer(&error) && is_transient(&error), "{error}");
        assert!(error.to_string().contains("no answer within 0.001 s"), "{error}");
    }

    #[tokio::test]
    async fn an_answer_in_time_is_the_answer() {
        assert_eq!(within(PATIENCE, async { Ok(7) }).await.unwrap(), 7);
        // The driver gives up connecting, for one, with an error of the same kind.
        let late = io::Error::from(io::ErrorKind::TimedOut).into();
        let error = within(PATIENCE, async { Err::<(), _>(late) }).await.unwrap_err();
        assert!(!is_no_answer(&error), "{error}");
    }
}
