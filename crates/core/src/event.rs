//! `ChangeEvent`: one change-stream document, the server's bytes.
//!
//! Fields are read when asked for and from the bytes; an event that is only moved is never
//! decoded. Fields and operation types that this version does not know stay where they are.
//! Source of the fields: MongoDB manual, "Change Events".

use std::borrow::Cow;

use bson::raw::{RawDocument, RawDocumentBuf};

use crate::raw::{self, Element, kind};
use crate::{ClusterTime, Error, Namespace, OperationType, ResumeToken, WallTime};

const WHAT: &str = "the event";

/// One event of a change stream, borrowed or owned.
#[derive(Debug, Clone, PartialEq)]
pub struct ChangeEvent<'a>(Cow<'a, RawDocument>);

impl<'a> From<&'a RawDocument> for ChangeEvent<'a> {
    fn from(raw: &'a RawDocument) -> Self {
        Self(Cow::Borrowed(raw))
    }
}

impl From<RawDocumentBuf> for ChangeEvent<'static> {
    fn from(raw: RawDocumentBuf) -> Self {
        Self(Cow::Owned(raw))
    }
}

impl<'a> ChangeEvent<'a> {
    /// Takes an event's bytes.
    ///
    /// # Errors
    /// [`Error::Malformed`] if they are not one BSON document.
    pub fn from_bytes(bytes: &'a [u8]) -> Result<Self, Error> {
        RawDocument::from_bytes(bytes)
            .map(Self::from)
            .map_err(|source| Error::malformed(WHAT, source))
    }

    /// The event with bytes of its own.
    #[must_use]
    pub fn into_owned(self) -> ChangeEvent<'static> {
        ChangeEvent(Cow::Owned(self.0.into_owned()))
    }
}

impl ChangeEvent<'_> {
    /// The event as it came.
    #[must_use]
    pub fn as_raw(&self) -> &RawDocument {
        &self.0
    }

    /// The event's bytes as they came.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// `_id`: the token to resume after this event.
    ///
    /// # Errors
    /// See [`Error`]; also if it is missing, for every event has one.
    pub fn token(&self) -> Result<ResumeToken, Error> {
        self.document("_id")?.map(ResumeToken::from_raw).ok_or(Error::MissingField { field: "_id" })
    }

    /// `operationType`.
    ///
    /// # Errors
    /// See [`Error`]; also if it is missing, for every event has one.
    pub fn operation_type(&self) -> Result<OperationType, Error> {
        self.string("operationType")?
            .map(OperationType::from)
            .ok_or(Error::MissingField { field: "operationType" })
    }

    /// `clusterTime`; absent from what is no event of the oplog.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn cluster_time(&self) -> Result<Option<ClusterTime>, Error> {
        self.field("clusterTime", "a timestamp", cluster_time)
    }

    /// `wallTime`; from MongoDB 6.0.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn wall_time(&self) -> Result<Option<WallTime>, Error> {
        self.field("wallTime", "a date", wall_time)
    }

    /// `ns`: what changed; `None` for an `invalidate`.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn namespace(&self) -> Result<Option<Namespace>, Error> {
        self.namespace_field("ns")
    }

    /// `to`: the new name, in a `rename`.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn renamed_to(&self) -> Result<Option<Namespace>, Error> {
        self.namespace_field("to")
    }

    /// `documentKey`: `_id`, preceded by the shard key where there is one.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn document_key(&self) -> Result<Option<&RawDocument>, Error> {
        self.document("documentKey")
    }

    /// `fullDocument`: the document of an insert or replace; of an update where asked for,
    /// and `None` there also when the server answered null.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn full_document(&self) -> Result<Option<&RawDocument>, Error> {
        self.document("fullDocument")
    }

    /// `rawUpdateDescription`: the server's own `{$v: 2, diff}`, where the stream was opened
    /// with `showRawUpdateDescription`.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn raw_update(&self) -> Result<Option<&RawDocument>, Error> {
        self.document("rawUpdateDescription")
    }

    /// `updateDescription`: the public, lossy form of an update.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn update_description(&self) -> Result<Option<&RawDocument>, Error> {
        self.document("updateDescription")
    }

    /// `operationDescription`: what a DDL event did, with `showExpandedEvents`.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn operation_description(&self) -> Result<Option<&RawDocument>, Error> {
        self.document("operationDescription")
    }

    /// `lsid` and `txnNumber`, which events of one transaction share.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn transaction(&self) -> Result<Option<(&RawDocument, i64)>, Error> {
        // Most events are of none: one look tells.
        let Some(number) = self.field("txnNumber", "a long", |value| value.as_i64())? else {
            return Ok(None);
        };
        Ok(self.document("lsid")?.map(|session| (session, number)))
    }

    /// A field that is an embedded document; null counts as absent.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn document(&self, field: &'static str) -> Result<Option<&RawDocument>, Error> {
        self.field(field, "a document", document)
    }

    fn string(&self, field: &'static str) -> Result<Option<&str>, Error> {
        self.field(field, "a string", string)
    }

    fn namespace_field(&self, field: &'static str) -> Result<Option<Namespace>, Error> {
        let Some(ns) = self.document(field)? else { return Ok(None) };
        let part = |name| match raw::find(WHAT, ns.as_bytes(), name)? {
            Some(value) => match string(value) {
                Some(text) => Ok(Some(text.to_owned())),
                None => Err(Error::WrongType { field, expected: "a namespace" }),
            },
            None => Ok(None),
        };
        match part("db")? {
            Some(db) => Ok(Some(Namespace { db, coll: part("coll")? })),
            None => Err(Error::WrongType { field, expected: "a namespace" }),
        }
    }

    fn field<'s, T>(
        &'s self,
        field: &'static str,
        expected: &'static str,
        read: impl FnOnce(Element<'s>) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let found = raw::find(WHAT, self.as_bytes(), field)?;
        let Some(value) = found.filter(|value| value.kind != kind::NULL) else { return Ok(None) };
        read(value).map(Some).ok_or(Error::WrongType { field, expected })
    }
}

fn cluster_time(value: Element<'_>) -> Option<ClusterTime> {
    value.timestamp().map(ClusterTime::from_bits)
}

fn wall_time(value: Element<'_>) -> Option<WallTime> {
    value.date().map(WallTime::from_millis)
}

fn document(value: Element<'_>) -> Option<&RawDocument> {
    value.document().and_then(|bytes| RawDocument::from_bytes(bytes).ok())
}

fn string(value: Element<'_>) -> Option<&str> {
    value.string().and_then(|bytes| std::str::from_utf8(bytes).ok())
}

#[cfg(test)]
mod tests {
    use bson::{Timestamp, rawdoc};

    use super::*;

    #[test]
    fn fields_are_read_from_the_bytes() {
        let raw = rawdoc! {
            "_id": {"_data": "826B02A9B5000000132B022C0100296F04"},
            "operationType": "aNewOne",
            "clusterTime": Timestamp { time: 7, increment: 2 },
            "wallTime": bson::DateTime::from_millis(7_123),
            "ns": {"db": "shop", "coll": "orders.old"},
            "txnNumber": 4_i64,
            "lsid": {"id": 1},
            "fullDocument": null,
        };
        let event = ChangeEvent::from_bytes(raw.as_bytes()).unwrap();
        assert_eq!(event.operation_type().unwrap(), OperationType::Other("aNewOne".into()));
        assert_eq!(event.cluster_time().unwrap(), Some(ClusterTime { seconds: 7, increment: 2 }));
        assert_eq!(event.wall_time().unwrap().unwrap().as_millis(), 7_123);
        assert_eq!(event.namespace().unwrap(), Some(Namespace::collection("shop", "orders.old")));
        assert_eq!(event.transaction().unwrap().unwrap().1, 4);
        assert_eq!(event.full_document().unwrap(), None);
        assert_eq!(event.as_bytes(), raw.as_bytes());
        assert_eq!(event.clone().into_owned(), event);
    }

    #[test]
    fn what_is_missing_or_of_another_type_is_named() {
        let raw = rawdoc! {"operationType": 5, "ns": {"coll": "x"}};
        let event = ChangeEvent::from(raw.as_ref());
        assert!(matches!(event.token(), Err(Error::MissingField { field: "_id" })));
        assert!(matches!(
            event.operation_type(),
            Err(Error::WrongType { field: "operationType", .. })
        ));
        assert!(event.namespace().is_err());
    }
}
