//! The base: what the deployment holds at one cluster time T, before the first event.
//!
//! ```text
//! definitions ──► T ──► documents, read at T ──► definitions once more ──► the tape
//! listed                                        the same, or begin again
//! ```
//! Invariants
//! - Every document is read at T (read concern `snapshot`, `atClusterTime`). A read at T shows
//!   what happened at T, so the stream goes on with the first event after T: nothing is on the
//!   tape twice or missing. Tried on 6.0.5: a write that the server reports as done at T is seen
//!   by a read at T, and a stream started at T begins with it.
//! - Collections, options and indexes can only be listed as they are now. They are listed before
//!   T is chosen and again when the documents are read: where both are the same they were so at
//!   T; otherwise everything begins again, at a new T.
//! - What is left of one attempt never gets into another: see [`TapeDraft::begin_base`].
//! - What cannot be part of a base, or be read at T, is refused before anything is written: T is
//!   tried on every collection first.

mod definitions;
mod documents;
mod failure;
mod window;
mod write;

use std::time::{Duration, Instant};

use bson::DateTime;
use changetape_core::{ClusterTime, NamespaceFilter};
use changetape_deployment::Deployment;
use changetape_tape::{BaseSummary, TapeDraft};
use tokio_util::sync::CancellationToken;

use crate::{Error, Progress, State};
use definitions::Listing;
use documents::ReadAt;
use failure::Failed;
use window::Window;
use write::Writer;

/// How often a base is begun before the deployment is taken for one that does not come to rest.
const ATTEMPTS: u32 = 5;

/// The pause before the second attempt; it doubles before each that follows.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// What a base is taken of, and who is told.
pub(crate) struct Base<'a> {
    pub(crate) deployment: &'a Deployment,
    /// Which namespaces take part.
    pub(crate) filter: &'a NamespaceFilter,
    pub(crate) progress: &'a std::sync::Arc<Progress>,
}

impl Base<'_> {
    /// Takes the base of a tape that is not there yet, again from the beginning where the
    /// deployment changes under it, until it is whole or `stop` is called.
    pub(crate) async fn take(
        &self,
        draft: &TapeDraft,
        stop: &CancellationToken,
    ) -> Result<BaseSummary, Error> {
        let (mut attempt, mut pause) = (1, FIRST_PAUSE);
        self.progress.state(State::TakingBase);
        loop {
            self.progress.base_moves();
            let taken = tokio::select! {
                biased;
                () = stop.cancelled() => return Err(Error::BaseStopped),
                taken = self.attempt(draft) => taken,
            };
            let why = match taken {
                Ok(summary) => return Ok(summary),
                Err(Failed::ForGood(error)) => return Err(error),
                Err(Failed::ForNow(why)) => why,
            };
            if attempt == ATTEMPTS {
                let hosts = self.deployment.hosts().to_owned();
                return Err(Error::NoBase { hosts, attempts: ATTEMPTS, why });
            }
            tracing::warn!("{why}; the base is taken again from the beginning");
            tokio::select! {
                () = stop.cancelled() => return Err(Error::BaseStopped),
                () = tokio::time::sleep(pause) => {}
            }
            (attempt, pause) = (attempt + 1, pause * 2);
        }
    }

    async fn attempt(&self, draft: &TapeDraft) -> Result<BaseSummary, Failed> {
        let window = Window::ask(self.deployment).await;
        self.progress.base_moves();
        window.refuse_none(self.deployment.hosts())?;
        let estimate = self.estimate().await?;
        let listing = self.list().await?;
        listing.refuse_unreadable(self.deployment.hosts())?;
        // At once: what changes between the two and is taken back later, no listing shows.
        let at = ReadAt { time: self.present().await?, chosen: Instant::now() };
        for collection in listing.collections() {
            documents::try_one(self.deployment, collection, at).await?;
            self.progress.base_moves();
        }
        tracing::info!(
            "taking a base at {} ({}): collections and views {}, documents about {estimate}; the \
             server keeps what was there {window}",
            at.time,
            at.time.wall_time(),
            listing.len(),
        );
        self.progress.base_begins(estimate);
        let writer = draft.begin_base(at.time, DateTime::now().into());
        let writer = Writer::start(writer.map_err(Error::from)?, self.progress)?;
        let read = self.read(&listing, at, &writer).await;
        // The writer goes first: what it says is the cause, the reader only noticed. Also before
        // another attempt, which writes in the same place.
        let written = writer.finish(read.is_ok()).await?;
        read?;
        written.ok_or_else(|| Error::WriterDied.into())
    }

    /// About how many documents there will be. Asked with a listing of its own: with many
    /// collections that takes a while, which is to pass neither between the listing that counts and
    /// T, nor after T, when the server's time to keep it runs.
    async fn estimate(&self) -> Result<u64, Failed> {
        let listing = self.list().await?;
        let mut estimate = 0;
        for collection in listing.collections() {
            estimate += documents::estimate(self.deployment, collection).await?;
            self.progress.base_moves();
        }
        Ok(estimate)
    }

    /// Reads everything; what was listed is then still so.
    async fn read(&self, listing: &Listing, at: ReadAt, writer: &Writer) -> Result<(), Failed> {
        for definition in listing.definitions() {
            if !writer.begin(definition).await {
                return Ok(());
            }
            if definition.kind == definitions::COLLECTION {
                documents::read(self.deployment, definition, at, writer).await?;
                self.progress.base_moves();
            }
        }
        let now = self.list().await?;
        match listing.difference(&now) {
            None => Ok(()),
            Some(namespace) => {
                let why = format!("{namespace} was made, changed or dropped meanwhile");
                Err(Failed::ForNow(why))
            }
        }
    }

    async fn list(&self) -> Result<Listing, Failed> {
        Listing::take(self.deployment, self.filter, self.progress).await
    }

    /// The deployment's present cluster time. A read at it waits until it is committed by a
    /// majority, so nothing that is read can be rolled back.
    async fn present(&self) -> Result<ClusterTime, Failed> {
        let now = self.deployment.now().await;
        let now = now.map_err(|error| Failed::of(self.deployment, error, "ask for the time"))?;
        let not_yet = || Failed::ForNow(Error::no_time(self.deployment).to_string());
        now.map(Into::into).ok_or_else(not_yet)
    }
}
