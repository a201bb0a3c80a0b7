//! The public event: what a `watch()` on the server would have delivered for a recorded one.
//!
//! A tape holds more than a `watch()` shows: it is recorded with `showExpandedEvents` and
//! `showRawUpdateDescription`. Everything a consumer of a plain stream must not see is
//! taken away here, and the update is described in the public form. Compared with the same
//! stream opened plainly (tried on MongoDB 6.0.5, byte for byte):
//!
//! | recorded | `watch()` | `watch(showExpandedEvents)` |
//! | --- | --- | --- |
//! | create, createIndexes, dropIndexes, modify, … | no event | the event |
//! | drop of a view (a drop without `collectionUUID`) | no event | the event |
//! | `collectionUUID`, `operationDescription`, `stateBeforeChange` | left out | kept |
//! | `rawUpdateDescription` | `updateDescription`, in its place | the same |
//! | `updateDescription.disambiguatedPaths` (MongoDB 6.1+) | left out | kept |
//! | `_id`, `wallTime`, `lsid`, `txnNumber`, every other field | kept | kept |
//!
//! The resume tokens of all these streams are the same, so `_id` needs no change. Fields
//! keep their order, and those this version does not know survive. An event's
//! `fullDocument` stays as it was recorded.
//!
//! Fragments of an event that the server split (`splitEvent`) are changed field by field;
//! they are not put together.

use bson::raw::{RawDocument, RawDocumentBuf};

use crate::raw::{self, DocumentWriter, Element, kind};
use crate::{ChangeEvent, DisambiguatedPaths, Error, OperationType, UpdateDiff};

const WHAT: &str = "the event";

/// Which stream a consumer would have opened, and what is known of the one recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PublicOptions {
    /// Deliver what `watch(showExpandedEvents: true)` would; a plain `watch()` otherwise.
    pub expanded_events: bool,
    /// Whether expanded events list `disambiguatedPaths`; see [`PublicOptions::expanded`].
    pub disambiguated_paths: DisambiguatedPaths,
    /// How the events were recorded.
    pub recorded: Recorded,
}

/// How the events were recorded.
///
/// It matters for one event only: the drop of a view looks like that of a collection in a
/// plain stream, but only expanded streams have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Recorded {
    /// With `showExpandedEvents`: as tapes are by default.
    #[default]
    Expanded,
    /// Without, as before MongoDB 6.0.
    Plain,
}

impl PublicOptions {
    /// What a plain `watch()` delivers.
    #[must_use]
    pub fn plain() -> Self {
        Self::default()
    }

    /// What `watch(showExpandedEvents: true)` delivers on a server of this version (`6.0.5`).
    #[must_use]
    pub fn expanded(server_version: &str) -> Self {
        let mut numbers = server_version.split('.').map_while(|part| part.parse::<u32>().ok());
        let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        Self {
            expanded_events: true,
            disambiguated_paths: if version >= (6, 1) {
                DisambiguatedPaths::Show
            } else {
                DisambiguatedPaths::Omit
            },
            recorded: Recorded::Expanded,
        }
    }
}

/// The event as a `watch()` would have delivered it; `None` if it would not have.
///
/// Borrows the recorded event where nothing has to change.
///
/// # Errors
/// [`Error::BadDiff`] if its update cannot be described; see [`Error`] for what else can be
/// wrong with an event's bytes.
pub fn public_event<'e>(
    event: &'e ChangeEvent<'_>,
    options: PublicOptions,
) -> Result<Option<ChangeEvent<'e>>, Error> {
    let event = event.as_raw();
    let mut operation = None;
    let mut has_uuid = false;
    let mut changes = false;
    for element in raw::elements(WHAT, event.as_bytes())? {
        let element = element?;
        match element.name {
            b"operationType" => operation = Some(element),
            b"collectionUUID" => has_uuid = true,
            _ => {}
        }
        changes |= treatment(&element, options)? != Treatment::Keep;
    }
    if let Some(operation) = operation
        && !options.expanded_events
        && is_hidden(operation, has_uuid, options.recorded)?
    {
        return Ok(None);
    }
    Ok(Some(if changes { rewrite(event, options)?.into() } else { event.into() }))
}

/// Whether a plain `watch()` does not deliver events of this operation.
fn is_hidden(operation: Element<'_>, has_uuid: bool, recorded: Recorded) -> Result<bool, Error> {
    let name = (operation.kind == kind::STRING)
        .then(|| operation.value.get(4..)?.strip_suffix(&[0]))
        .flatten()
        .and_then(|name| std::str::from_utf8(name).ok())
        .ok_or(Error::WrongType { field: "operationType", expected: "a string" })?;
    Ok(match OperationType::from(name) {
        OperationType::Drop => recorded == Recorded::Expanded && !has_uuid,
        operation => operation.is_expanded(),
    })
}

/// What happens to one field of an event.
#[derive(PartialEq, Eq)]
enum Treatment {
    Keep,
    LeaveOut,
    Describe,
    LeaveOutPaths,
}

fn treatment(element: &Element<'_>, options: PublicOptions) -> Result<Treatment, Error> {
    Ok(match element.name {
        b"rawUpdateDescription" => Treatment::Describe,
        _ if options.expanded_events => Treatment::Keep,
        b"collectionUUID" | b"operationDescription" | b"stateBeforeChange" => Treatment::LeaveOut,
        b"updateDescription" => match element.document() {
            Some(description) if raw::find(WHAT, description, PATHS)?.is_some() => {
                Treatment::LeaveOutPaths
            }
            _ => Treatment::Keep,
        },
        _ => Treatment::Keep,
    })
}

const PATHS: &str = "disambiguatedPaths";

fn rewrite(event: &RawDocument, options: PublicOptions) -> Result<RawDocumentBuf, Error> {
    let mut out = DocumentWriter::with_capacity(event.as_bytes().len() + 64);
    for element in raw::elements(WHAT, event.as_bytes())? {
        let element = element?;
        match treatment(&element, options)? {
            Treatment::Keep => out.element(element),
            Treatment::LeaveOut => {}
            Treatment::Describe => describe(element, options, &mut out)?,
            Treatment::LeaveOutPaths => leave_out_paths(element, &mut out)?,
        }
    }
    out.finish()
}

fn describe(
    element: Element<'_>,
    options: PublicOptions,
    out: &mut DocumentWriter,
) -> Result<(), Error> {
    let update = element
        .document()
        .ok_or(Error::WrongType { field: "rawUpdateDescription", expected: "a document" })?;
    let paths = if options.expanded_events {
        options.disambiguated_paths
    } else {
        DisambiguatedPaths::Omit
    };
    out.open(kind::DOCUMENT, b"updateDescription");
    UpdateDiff::from_raw(raw::document(WHAT, update)?)?.describe_into(paths, out)?;
    out.close();
    Ok(())
}

fn leave_out_paths(element: Element<'_>, out: &mut DocumentWriter) -> Result<(), Error> {
    out.open(kind::DOCUMENT, element.name);
    for field in raw::elements(WHAT, element.value)? {
        let field = field?;
        if field.name != PATHS.as_bytes() {
            out.element(field);
        }
    }
    out.close();
    Ok(())
}

#[cfg(test)]
mod tests;
