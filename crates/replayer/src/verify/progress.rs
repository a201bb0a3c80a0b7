//! How far a comparison is, readable from another thread while it runs.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// How far a comparison is. Each figure is right by itself; together they are of about one moment.
#[derive(Debug, Default)]
pub struct VerifyProgress {
    pass: AtomicU64,
    passes: AtomicU64,
    events: AtomicU64,
    of: AtomicU64,
    documents: AtomicU64,
}

impl VerifyProgress {
    /// Which pass over the tape it is, from 1.
    #[must_use]
    pub fn pass(&self) -> u64 {
        self.pass.load(Relaxed)
    }

    /// How many passes there are, as far as is known.
    #[must_use]
    pub fn passes(&self) -> u64 {
        self.passes.load(Relaxed)
    }

    /// How many events the pass has read, and of how many.
    #[must_use]
    pub fn events(&self) -> (u64, u64) {
        (self.events.load(Relaxed), self.of.load(Relaxed))
    }

    /// How many documents were compared.
    #[must_use]
    pub fn documents(&self) -> u64 {
        self.documents.load(Relaxed)
    }

    pub(super) fn begin(&self, pass: u64, passes: u64, events: u64) {
        self.pass.store(pass, Relaxed);
        self.passes.store(passes, Relaxed);
        self.events.store(0, Relaxed);
        self.of.store(events, Relaxed);
    }

    pub(super) fn read(&self, events: u64) {
        self.events.store(events, Relaxed);
    }

    pub(super) fn compared(&self, documents: u64) {
        self.documents.store(documents, Relaxed);
    }
}
