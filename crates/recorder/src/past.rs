//! Past what is lost: where the stream is opened when it cannot go on where it should.
//!
//! | the server says | the stream goes on | the gap |
//! | --- | --- | --- |
//! | its oplog no longer reaches back | at the oldest point that it still has | from the last token to there |
//! | an event is too large to be sent | event by event up to it, then behind it | that event |
//!
//! The gap goes onto the tape together with the first reply that follows it, in one append: so it
//! is noted once, and not before the recording has really gone on.

use changetape_core::ClusterTime;
use changetape_deployment::Deployment;
use changetape_tape::{Edge, Gap, GapCause};
use mongodb::error::Error as ServerError;

use crate::failure::{Lost, lost};
use crate::patience::Patience;
use crate::resume::Start;
use crate::source::{Opening, Query, Source};
use crate::{Error, Fetch, oplog};

/// How often the oldest point may move on while it is being opened.
const ATTEMPTS: u32 = 20;

/// An open stream, and what was lost before it.
pub(crate) struct Opened {
    pub(crate) source: Source,
    /// Where it is opened if it breaks now.
    pub(crate) resume: Start,
    /// What was lost; `None` if nothing yet.
    pub(crate) gap: Option<Gap>,
    /// Whether events come one by one, because one of them is too large to be sent.
    pub(crate) one_by_one: bool,
}

/// The stream at work, and where it should go on.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) deployment: &'a Deployment,
    pub(crate) query: &'a Query,
    pub(crate) resume: &'a Start,
    pub(crate) one_by_one: bool,
    pub(crate) patience: Patience,
}

impl Place<'_> {
    /// Opens the stream past what `error` says is lost; hands the error back if that is nothing
    /// of the kind.
    pub(crate) async fn open_past(self, error: ServerError) -> Result<Opened, Opening> {
        match lost(&error) {
            Some(Lost::History) => self.oldest().await,
            Some(Lost::Event) if self.one_by_one => self.behind_event(error).await,
            Some(Lost::Event) => {
                // The server refuses a whole reply for one event in it: those before it come
                // one by one.
                let query = one_by_one(self.query);
                match self.open(&query, self.resume).await {
                    Ok(source) => {
                        let resume = self.resume.clone();
                        Ok(Opened { source, resume, gap: None, one_by_one: true })
                    }
                    Err(Opening::Server(error)) if lost(&error) == Some(Lost::Event) => {
                        self.behind_event(error).await
                    }
                    Err(opening) => Err(opening),
                }
            }
            None => Err(Opening::Server(error)),
        }
    }

    /// The stream at the oldest point that the server still has.
    async fn oldest(self) -> Result<Opened, Opening> {
        for _ in 0..ATTEMPTS {
            let time = self.oldest_time().await?;
            let resume = Start::At(time);
            match self.open(self.query, &resume).await {
                Ok(source) => {
                    let after = Edge { token: None, time: Some(time) };
                    let gap = gap(self.resume, GapCause::HistoryLost, after);
                    return Ok(Opened { source, resume, gap: Some(gap), one_by_one: false });
                }
                // It has moved on meanwhile.
                Err(Opening::Server(error)) if lost(&error) == Some(Lost::History) => {}
                Err(opening) => return Err(opening),
            }
        }
        Err(Opening::Ours(Error::OplogTooFast { hosts: self.deployment.hosts().to_owned() }))
    }

    /// When the server's history begins: the time of its oplog's first entry where that may be
    /// read, and otherwise the earliest time at which it opens the stream. That is exact, and not
    /// to the second: every event that it still has lies behind it.
    async fn oldest_time(self) -> Result<ClusterTime, Opening> {
        if let Ok(Some(time)) = oplog::oldest(self.deployment).await {
            return Ok(time);
        }
        let now = self.deployment.now().await.map_err(Opening::Server)?;
        let now = now.ok_or_else(|| Opening::Ours(Error::no_time(self.deployment)))?;
        // The server opens it at `late` and not at `early`.
        let mut early = self.resume.time().map_or(0, ClusterTime::to_bits);
        let mut late = ClusterTime::from(now).to_bits();
        while late.saturating_sub(early) > 1 {
            let middle = early + (late - early) / 2;
            let start = Start::At(ClusterTime::from_bits(middle));
            match self.open(self.query, &start).await {
                Ok(_) => late = middle,
                Err(Opening::Server(error)) if lost(&error) == Some(Lost::History) => {
                    early = middle;
                }
                Err(opening) => return Err(opening),
            }
        }
        Ok(ClusterTime::from_bits(late))
    }

    /// The stream behind the event that comes next, which cannot be sent; and behind those that
    /// follow it, if they cannot be sent either.
    async fn behind_event(self, error: ServerError) -> Result<Opened, Opening> {
        let query = one_by_one(self.query);
        let (mut resume, mut error) = (self.resume.clone(), error);
        loop {
            // Without its documents it can.
            let token = Source::peek(self.deployment, self.query, &resume, self.patience.now());
            let Some(token) = token.await? else {
                return Err(Opening::Server(error));
            };
            let after = Edge::at(token.clone());
            resume = Start::After(token);
            match self.open(&query, &resume).await {
                Ok(source) => {
                    let gap = Some(gap(self.resume, GapCause::EventTooLarge, after));
                    return Ok(Opened { source, resume, gap, one_by_one: true });
                }
                Err(Opening::Server(again)) if lost(&again) == Some(Lost::Event) => error = again,
                Err(opening) => return Err(opening),
            }
        }
    }

    async fn open(self, query: &Query, start: &Start) -> Result<Source, Opening> {
        Source::open(self.deployment, query, start, self.patience.now()).await
    }
}

/// A gap from a place on.
pub(crate) fn gap(from: &Start, cause: GapCause, after: Edge) -> Gap {
    let before = Edge::from(from);
    // The tape fills in the place.
    let at = changetape_core::Seq::ZERO;
    Gap { at, places: 0, cause, before, after, noticed: bson::DateTime::now().into() }
}

fn one_by_one(query: &Query) -> Query {
    Query { fetch: Fetch { batch_size: 1, ..query.fetch }, ..query.clone() }
}
