//! `Outlet`: where the bytes go.

use std::fs::File;
use std::io::{ErrorKind, Write as _};

use changetape_core::Seq;

use super::consumers::Consumers;
use crate::{Error, Stop};

/// Where the bytes go.
#[derive(Debug)]
pub(super) enum Outlet {
    /// A file, or a pipe.
    File {
        file: File,
        /// For messages.
        name: String,
        /// Whoever read the pipe has gone.
        is_closed: bool,
    },
    /// Whoever is at the other end of a socket.
    Consumers(Consumers),
    /// Nowhere.
    Nowhere,
}

/// Whether there is somebody to write to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ready {
    Yes,
    /// Nobody, and nobody is waited for.
    Closed,
    /// A stop was requested while somebody was waited for.
    Stopped,
}

/// How much of a write was done: all of it, or less because whoever takes it went away or a stop was
/// requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) bytes: usize,
    pub(super) stopped: bool,
}

impl Outlet {
    pub(super) fn file(file: File, name: impl Into<String>) -> Self {
        Self::File { file, name: name.into(), is_closed: false }
    }

    /// Waits until there is somebody to write to; `next` is the first event that is to be written,
    /// where that is known.
    ///
    /// # Errors
    /// See [`Consumers::ready`].
    pub(super) fn ready(&mut self, next: Option<Seq>, stop: &Stop) -> Result<Ready, Error> {
        match self {
            Self::File { is_closed: true, .. } => Ok(Ready::Closed),
            Self::File { .. } | Self::Nowhere => Ok(Ready::Yes),
            Self::Consumers(consumers) => consumers.ready(next, stop),
        }
    }

    /// Writes events, of which each ends where `ends` says.
    ///
    /// # Errors
    /// [`Error::Write`], unless it is that whoever takes them went away.
    pub(super) fn write(
        &mut self,
        bytes: &[u8],
        ends: &[usize],
        stop: &Stop,
    ) -> Result<Written, Error> {
        let written = match self {
            Self::Nowhere => bytes.len(),
            Self::Consumers(consumers) => return consumers.write(bytes, ends, stop),
            Self::File { file, name, is_closed } => {
                let mut written = 0;
                while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
                    match file.write(rest) {
                        Ok(more) if more > 0 => written += more,
                        Err(error) if error.kind() == ErrorKind::Interrupted => {}
                        Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                            *is_closed = true;
                            break;
                        }
                        failed => {
                            let source = failed.err().unwrap_or(ErrorKind::WriteZero.into());
                            return Err(Error::Write { to: name.clone(), source });
                        }
                    }
                }
                written
            }
        };
        Ok(Written { bytes: written, stopped: false })
    }

    /// Nothing more follows.
    pub(super) fn finish(&self) {
        if let Self::Consumers(consumers) = self {
            consumers.finish();
        }
    }
}
