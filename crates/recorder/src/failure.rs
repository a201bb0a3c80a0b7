//! What a failure of the stream means to the user.

use changetape_deployment::{Deployment, Identity, error_code};
use changetape_tape::UpdateForm;

use crate::Error;
use crate::resume::Start;
use crate::source::Opening;

/// The server's codes that mean something of their own here. Source: MongoDB's
/// `error_codes.yml` and the change streams specification; see also `docs/recording.md`.
mod code {
    pub(super) const UNAUTHORIZED: i32 = 13;
    pub(super) const CAPPED_POSITION_LOST: i32 = 136;
    pub(super) const CHANGE_STREAM_HISTORY_LOST: i32 = 286;
    pub(super) const API_STRICT_ERROR: i32 = 323;
    pub(super) const OPLOG_QUERY_MIN_TS_MISSING: i32 = 326;
    pub(super) const BSON_OBJECT_TOO_LARGE: i32 = 10334;
    pub(super) const UNKNOWN_FIELD: i32 = 40415;
}

/// Whether the server refuses the raw form of updates as such: an option that it does not
/// know, or not under its strict API.
pub(crate) fn refuses_raw(form: UpdateForm, error: &mongodb::error::Error) -> bool {
    let refusal = matches!(error_code(error), Some(code::UNKNOWN_FIELD | code::API_STRICT_ERROR));
    form == UpdateForm::Raw && refusal
}

/// What is lost to a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lost {
    /// What happened before the oldest entry of the oplog.
    History,
    /// An event that is too large to be sent.
    Event,
}

/// What of the stream is lost for ever, if the server says so.
pub(crate) fn lost(error: &mongodb::error::Error) -> Option<Lost> {
    match error_code(error)? {
        code::CHANGE_STREAM_HISTORY_LOST
        | code::CAPPED_POSITION_LOST
        | code::OPLOG_QUERY_MIN_TS_MISSING => Some(Lost::History),
        code::BSON_OBJECT_TOO_LARGE => Some(Lost::Event),
        _ => None,
    }
}

/// What a failure to open or read the stream means to the user.
pub(crate) fn explain(
    deployment: &Deployment,
    start: &Start,
    identity: &Identity,
    opening: Opening,
) -> Error {
    let error = match opening {
        Opening::Ours(ours) => return ours,
        Opening::Server(error) => error,
    };
    let (answered, lost) = (error_code(&error), lost(&error));
    let hosts = deployment.hosts().to_owned();
    let place = describe(start);
    let answer = Box::new(deployment.explain(error, "open the change stream"));
    tracing::debug!("the server's answer: {answer}");
    match lost {
        Some(Lost::History) => return Error::HistoryLost { hosts, place, answer },
        Some(Lost::Event) => return Error::EventTooLarge { hosts, place, answer },
        None => {}
    }
    match answered {
        Some(code::UNAUTHORIZED) => match deployment.user() {
            Some(user) => Error::MayNotWatch { user: user.to_owned(), hosts, answer },
            None => Error::NeedsUser { hosts, answer },
        },
        Some(code::UNKNOWN_FIELD) => {
            Error::TooOld { hosts, version: identity.server_version.clone(), answer }
        }
        _ => Error::Deployment(*answer),
    }
}

fn describe(start: &Start) -> String {
    match start.time() {
        None if *start == Start::Now => "the present".to_owned(),
        Some(time) => format!("{time} ({})", time.wall_time()),
        None => "the end of the tape".to_owned(),
    }
}
