//! What a failure means for a base: begin again, or end.

use changetape_deployment::{Deployment, error_code, is_transient};
use changetape_tape::Definition;

use super::documents::ReadAt;
use crate::Error;

/// The server's codes that mean something of their own here; each was seen on 6.0.5.
mod code {
    pub(super) const UNAUTHORIZED: i32 = 13;
    /// A collection was dropped or renamed between two commands.
    pub(super) const NAMESPACE_NOT_FOUND: i32 = 26;
    /// It was replaced by a view.
    pub(super) const COMMAND_NOT_SUPPORTED_ON_VIEW: i32 = 166;
    /// A collection that is being read was dropped or renamed.
    pub(super) const QUERY_PLAN_KILLED: i32 = 175;
    pub(super) const SNAPSHOT_TOO_OLD: i32 = 239;
    /// A collection was made, renamed or changed after the time to read at.
    pub(super) const SNAPSHOT_UNAVAILABLE: i32 = 246;
}

/// Why an attempt failed.
#[derive(Debug)]
pub(super) enum Failed {
    /// Another may succeed; this is why.
    ForNow(String),
    /// Another would fail alike.
    ForGood(Error),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::ForGood(error)
    }
}

impl Failed {
    /// What the server says to a command. `doing` is what was attempted, as an infinitive.
    pub(super) fn of(deployment: &Deployment, error: mongodb::error::Error, doing: &str) -> Self {
        let for_now = is_transient(&error)
            || matches!(
                error_code(&error),
                Some(
                    code::NAMESPACE_NOT_FOUND
                        | code::COMMAND_NOT_SUPPORTED_ON_VIEW
                        | code::QUERY_PLAN_KILLED
                        | code::SNAPSHOT_UNAVAILABLE
                )
            );
        let unauthorized = error_code(&error) == Some(code::UNAUTHORIZED);
        let answer = deployment.explain(error, doing);
        if for_now {
            return Self::ForNow(answer.to_string());
        }
        Self::ForGood(match deployment.user() {
            Some(user) if unauthorized => Error::MayNotTakeBase {
                user: user.to_owned(),
                hosts: deployment.hosts().to_owned(),
                doing: doing.to_owned(),
                answer: Box::new(answer),
            },
            _ => Error::Deployment(answer),
        })
    }

    /// The same for a read at a time, which the server may have forgotten by now.
    pub(super) fn of_read(
        deployment: &Deployment,
        error: mongodb::error::Error,
        definition: &Definition,
        at: ReadAt,
    ) -> Self {
        let namespace = definition.namespace().to_string();
        let doing = format!("read {namespace}");
        if error_code(&error) != Some(code::SNAPSHOT_TOO_OLD) {
            return Self::of(deployment, error, &doing);
        }
        Self::ForGood(Error::SnapshotTooOld {
            hosts: deployment.hosts().to_owned(),
            time: at.time,
            seconds: at.chosen.elapsed().as_secs(),
            namespace,
            answer: Box::new(deployment.explain(error, &doing)),
        })
    }
}
