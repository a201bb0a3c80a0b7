//! The arguments that say how events are written to a file or a consumer, and to whom.

use changetape_replayer::sink::stream::{Encoding, Envelope, Form, OnDisconnect, Role, Shown};
use changetape_replayer::{Overwrite, SinkOptions};
use clap::{Args, ValueEnum};

use crate::args::parse;

/// How events are written.
#[derive(Debug, Args)]
pub(super) struct FormArgs {
    /// As what events are written: canonical or relaxed Extended JSON, one a line, or BSON documents
    /// as they were recorded, one after the other
    #[arg(
        long,
        value_name = "FORM",
        value_enum,
        default_value_t,
        env = "CHANGETAPE_ENCODE",
        help_heading = "Consumers"
    )]
    encode: EncodeArg,
    /// Write also what watch() shows only with showExpandedEvents: create, createIndexes, modify, …
    #[arg(
        long,
        env = "CHANGETAPE_SHOW_EXPANDED_EVENTS",
        value_parser = parse::switch,
        help_heading = "Consumers"
    )]
    show_expanded_events: bool,
}

/// To whom they are written.
#[derive(Debug, Args)]
pub(super) struct ConsumerArgs {
    /// Write around each event its place on the tape, when it was due and when it was sent:
    /// {"seq", "due", "sent", "event"}
    #[arg(
        long,
        env = "CHANGETAPE_ENVELOPE",
        value_parser = parse::switch,
        help_heading = "Consumers"
    )]
    envelope: bool,
    /// With tcp: and unix:, listen there and wait for a consumer, instead of connecting to it
    #[arg(
        long,
        env = "CHANGETAPE_LISTEN",
        value_parser = parse::switch,
        help_heading = "Consumers"
    )]
    listen: bool,
    /// With tcp: and unix:, what to do when the consumer goes away
    #[arg(
        long,
        value_name = "WHAT",
        value_enum,
        default_value_t,
        env = "CHANGETAPE_ON_DISCONNECT",
        help_heading = "Consumers"
    )]
    on_disconnect: OnDisconnectArg,
    /// With file: or --lateness, overwrite a file that is there
    #[arg(
        long,
        env = "CHANGETAPE_OVERWRITE",
        value_parser = parse::switch,
        help_heading = "Consumers"
    )]
    overwrite: bool,
}

/// See [`Encoding`].
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum EncodeArg {
    #[default]
    Canonical,
    Relaxed,
    Bson,
}

impl From<EncodeArg> for Encoding {
    fn from(encode: EncodeArg) -> Self {
        match encode {
            EncodeArg::Canonical => Self::Canonical,
            EncodeArg::Relaxed => Self::Relaxed,
            EncodeArg::Bson => Self::Bson,
        }
    }
}

/// See [`OnDisconnect`].
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum OnDisconnectArg {
    /// End, as when a pipe is closed
    #[default]
    Stop,
    /// Wait for it, or the next, up to --max-outage, and go on
    Wait,
}

impl FormArgs {
    pub(super) fn form(&self) -> Form {
        let shown = if self.show_expanded_events { Shown::Expanded } else { Shown::Plain };
        Form { encoding: self.encode.into(), envelope: Envelope::None, shown }
    }
}

impl ConsumerArgs {
    pub(super) fn overwrite(&self) -> Overwrite {
        if self.overwrite { Overwrite::Always } else { Overwrite::Never }
    }

    pub(super) fn sink_options(&self, form: Form) -> SinkOptions {
        SinkOptions {
            form: Form {
                envelope: if self.envelope { Envelope::Times } else { Envelope::None },
                ..form
            },
            overwrite: self.overwrite(),
            role: if self.listen { Role::Listen } else { Role::Connect },
            on_disconnect: match self.on_disconnect {
                OnDisconnectArg::Stop => OnDisconnect::Stop,
                OnDisconnectArg::Wait => OnDisconnect::Wait,
            },
            ..SinkOptions::default()
        }
    }
}
