//! The loop: read a batch, hand it to the appender, and open the stream again when the source
//! was away.
//!
//! Invariant: batches are handed over in stream order, each with the token that follows it,
//! which never lies between the fragments of one event.
//! The token to open with after an interruption is the last one handed over, which is the last
//! one on the tape once the appender has caught up: nothing is read twice or skipped.

use std::time::{Duration, Instant};

use changetape_core::{Arrival, ChangeEvent, ResumeToken};
use changetape_deployment::{Deployment, Identity, is_no_answer, is_transient};
use changetape_tape::{Edge, Gap};
use rustix::time::{ClockId, clock_gettime};
use tokio::time::sleep;

use crate::append::{Appender, Delivery};
use crate::end::End;
use crate::failure::explain;
use crate::past::{Opened, Place};
use crate::patience::Patience;
use crate::record::Ending;
use crate::resume::Start;
use crate::source::{Opening, Query, Received, Source};
use crate::{Error, Limits, OnGap, Progress, State};

/// The first pause before the stream is opened again, and the longest: they double between.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The reading side of a running session.
pub(crate) struct Reader<'a> {
    deployment: &'a Deployment,
    identity: &'a Identity,
    query: &'a Query,
    source: Source,
    /// Where the stream is opened if it breaks now.
    resume: Start,
    on_gap: OnGap,
    /// What was lost before the next delivery.
    gap: Option<Gap>,
    /// Whether events come one by one, because one of them is too large to be sent.
    one_by_one: bool,
    patience: Patience,
    progress: &'a Progress,
}

impl<'a> Reader<'a> {
    /// Takes over an open stream.
    pub(crate) fn new(
        deployment: &'a Deployment,
        identity: &'a Identity,
        query: &'a Query,
        opened: Opened,
        on_gap: OnGap,
        progress: &'a Progress,
    ) -> Self {
        let patience = Patience::with(deployment, query.fetch);
        let Opened { source, resume, gap, one_by_one } = opened;
        Self {
            deployment,
            identity,
            query,
            source,
            resume,
            on_gap,
            gap,
            one_by_one,
            patience,
            progress,
        }
    }

    /// Reads until a limit is reached, the end comes or the appender has failed.
    pub(crate) async fn read(
        &mut self,
        appender: &Appender,
        limits: Limits,
        end: End<'_>,
    ) -> Result<Ending, Error> {
        let mut wanted = limits.count.unwrap_or(u64::MAX);
        let mut last_event = Instant::now();
        self.progress.state(State::Recording);
        while wanted > 0 {
            let asked = Instant::now();
            let next = match end.or(self.source.next(self.patience.now())).await {
                Ok(next) => next,
                Err(ending) => return Ok(ending),
            };
            let broken = match next {
                Ok(Some(received)) => {
                    if !received.came_with_opening {
                        self.patience.answered(asked.elapsed());
                    }
                    let Some(delivery) = self.delivery(received, wanted)? else {
                        // In the middle of an event: that is not idle.
                        last_event = Instant::now();
                        continue;
                    };
                    let taken = delivery.selected.pieces.len() as u64;
                    let behind_event = self.one_by_one && delivery.gap.is_some();
                    if !appender.send(delivery).await {
                        // The appender has failed and says why when it is finished.
                        return Ok(Ending::Stopped);
                    }
                    // Only a reply without events shows that there are none: time also passes
                    // while the disk is slow or this process is stopped.
                    if taken > 0 {
                        last_event = Instant::now();
                        wanted -= taken;
                    } else if limits.idle.is_some_and(|idle| last_event.elapsed() >= idle) {
                        return Ok(Ending::Idle);
                    }
                    if !behind_event {
                        continue;
                    }
                    // What was too large is behind.
                    match end.or(self.open()).await {
                        Ok(Ok(())) => continue,
                        Ok(Err(Opening::Server(error))) => error,
                        Ok(Err(Opening::Ours(ours))) => return Err(ours),
                        Err(ending) => return Ok(ending),
                    }
                }
                Ok(None) => return Err(Error::StreamClosed),
                Err(error) => error,
            };
            if let Some(ending) = self.reopen(broken, end).await? {
                return Ok(ending);
            }
            // A source that was away was not idle.
            last_event = Instant::now();
        }
        Ok(Ending::Count)
    }

    /// What of a reply goes onto the tape: at most `wanted` events, and the token after them.
    /// `None` if that is nothing yet.
    fn delivery(&mut self, received: Received, wanted: u64) -> Result<Option<Delivery>, Error> {
        let arrival = arrival_now();
        if let Some(time) = received.source_time() {
            self.progress.source_at(time);
        }
        let (events, token) = (received.events()?, received.token()?);
        let selected = self.source.reassembler.select(&events, token, wanted)?;
        let first = events.first().and_then(|event| ChangeEvent::from(*event).token().ok());
        Ok(selected.map(|selected| {
            self.resume = Start::After(selected.token.clone());
            let gap = self.gap.take().map(|gap| ended(gap, first, &selected.token));
            Delivery { batch: received, selected, arrival, gap }
        }))
    }

    /// Opens the stream where it broke, with full replies: whatever the server says against them
    /// is about a whole reply, and not about the event that comes next.
    async fn open(&mut self) -> Result<(), Opening> {
        self.one_by_one = false;
        let patience = self.patience.now();
        let opened = Source::open(self.deployment, self.query, &self.resume, patience);
        self.source = opened.await?;
        Ok(())
    }

    /// Opens the stream again, pausing longer each time. `Some` if the session ends instead.
    async fn reopen(
        &mut self,
        error: mongodb::error::Error,
        end: End<'_>,
    ) -> Result<Option<Ending>, Error> {
        self.progress.state(State::Waiting);
        let mut error = error;
        let mut pause = FIRST_PAUSE;
        loop {
            if !is_transient(&error) {
                match end.or(self.open_past(error)).await {
                    Ok(Ok(())) => return Ok(None),
                    Ok(Err(Opening::Server(again))) if is_transient(&again) => error = again,
                    Ok(Err(fatal)) => {
                        return Err(explain(self.deployment, &self.resume, self.identity, fatal));
                    }
                    Err(ending) => return Ok(Some(ending)),
                }
            }
            if is_no_answer(&error) {
                self.patience.no_answer();
            }
            tracing::warn!(
                "lost the source: {}; trying again in {} s",
                self.deployment.explain(error, "read the change stream"),
                pause.as_secs_f64(),
            );
            let attempt = async {
                sleep(pause).await;
                self.progress.retrying();
                self.open().await
            };
            match end.or(attempt).await {
                Ok(Ok(())) => {
                    self.progress.reconnected();
                    self.progress.state(State::Recording);
                    tracing::info!("the source is back; the recording continues where it was");
                    return Ok(None);
                }
                Ok(Err(Opening::Server(again))) => error = again,
                Ok(Err(Opening::Ours(ours))) => return Err(ours),
                Err(ending) => return Ok(Some(ending)),
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Opens the stream past what is lost, if that is what the error says and what the user wants.
    async fn open_past(&mut self, error: mongodb::error::Error) -> Result<(), Opening> {
        if self.on_gap == OnGap::Stop {
            return Err(Opening::Server(error));
        }
        let place = Place {
            deployment: self.deployment,
            query: self.query,
            resume: &self.resume,
            one_by_one: self.one_by_one,
            patience: self.patience,
        };
        let opened = place.open_past(error).await?;
        self.source = opened.source;
        self.resume = opened.resume;
        self.one_by_one = opened.one_by_one;
        if opened.gap.is_some() {
            // A gap that was not delivered yet begins where this one does, or before.
            self.gap = join(self.gap.take(), opened.gap);
        }
        self.progress.state(State::Recording);
        Ok(())
    }
}

/// A gap with the token of what comes behind it: the first event's, or where there is none, the
/// stream's.
fn ended(gap: Gap, first: Option<ResumeToken>, token: &ResumeToken) -> Gap {
    let token = gap.after.token.or(first).unwrap_or_else(|| token.clone());
    let time = gap.after.time.or_else(|| token.cluster_time());
    Gap { after: Edge { token: Some(token), time }, ..gap }
}

/// One gap of two that follow one another without an event between them.
fn join(first: Option<Gap>, second: Option<Gap>) -> Option<Gap> {
    match (first, second) {
        (Some(first), Some(second)) => Some(Gap { before: first.before, ..second }),
        (first, second) => first.or(second),
    }
}

fn arrival_now() -> Arrival {
    let nanos = |clock| {
        let time = clock_gettime(clock);
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
    };
    Arrival { wall_nanos: nanos(ClockId::Realtime), monotonic_nanos: nanos(ClockId::Monotonic) }
}
