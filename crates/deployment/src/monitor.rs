//! What the driver's monitoring saw last, per server.
//!
//! A failed server selection reports the whole topology as one line of debug output. The
//! heartbeat that failed has the actual reason, so it is kept here for the sentence.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use mongodb::event::EventHandler;
use mongodb::event::sdam::SdamEvent;

/// Last failed heartbeat of each server that is failing now.
#[derive(Debug, Clone, Default)]
pub(crate) struct Monitor(Arc<Mutex<BTreeMap<String, mongodb::error::Error>>>);

impl Monitor {
    /// The handler to give to the driver.
    pub(crate) fn handler(&self) -> EventHandler<SdamEvent> {
        let failures = Arc::clone(&self.0);
        EventHandler::callback(move |event| {
            let mut failures = failures.lock().unwrap_or_else(PoisonError::into_inner);
            match event {
                SdamEvent::ServerHeartbeatFailed(event) => {
                    failures.insert(event.server_address.to_string(), event.failure);
                }
                SdamEvent::ServerHeartbeatSucceeded(event) => {
                    failures.remove(&event.server_address.to_string());
                }
                _ => {}
            }
        })
    }

    /// A server that is failing and why, if any is.
    pub(crate) fn last_failure(&self) -> Option<(String, mongodb::error::Error)> {
        let failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        failures.iter().next().map(|(host, error)| (host.clone(), error.clone()))
    }
}
