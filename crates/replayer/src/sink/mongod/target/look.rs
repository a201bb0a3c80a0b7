//! What the target has.

use bson::raw::RawDocumentBuf;
use bson::{Bson, Document};
use changetape_core::Namespace;
use changetape_core::raw::{DocumentWriter, kind};
use changetape_deployment::Error;

use super::{Patience, Target, Trouble};
use crate::Stop;

impl Target {
    /// Whether there is a document that a query finds.
    pub(in crate::sink::mongod) fn has_document(
        &mut self,
        namespace: &Namespace,
        query: &RawDocumentBuf,
        stop: &Stop,
    ) -> Result<bool, Trouble> {
        let mut writer = DocumentWriter::new();
        writer.string(b"find", namespace.coll.as_deref().unwrap_or_default().as_bytes());
        writer.value(kind::DOCUMENT, b"filter", query.as_bytes());
        writer.open(kind::DOCUMENT, b"projection");
        writer.int32(b"_id", 1);
        writer.close();
        writer.int32(b"limit", 1);
        writer.value(kind::BOOLEAN, b"singleBatch", &[1]);
        Ok(!self.batch(&namespace.db, writer, stop)?.is_empty())
    }

    /// What kind of collection there is under a name, and its options: an entry of
    /// `listCollections`.
    pub(in crate::sink::mongod) fn collection(
        &mut self,
        namespace: &Namespace,
        stop: &Stop,
    ) -> Result<Option<Document>, Trouble> {
        let mut writer = DocumentWriter::new();
        writer.int32(b"listCollections", 1);
        writer.open(kind::DOCUMENT, b"filter");
        writer.string(b"name", namespace.coll.as_deref().unwrap_or_default().as_bytes());
        writer.close();
        Ok(self.batch(&namespace.db, writer, stop)?.into_iter().next())
    }

    /// A collection's indexes: entries of `listIndexes`. None if there is no such collection.
    pub(in crate::sink::mongod) fn indexes(
        &mut self,
        namespace: &Namespace,
        stop: &Stop,
    ) -> Result<Vec<Document>, Trouble> {
        let mut writer = DocumentWriter::new();
        writer.string(b"listIndexes", namespace.coll.as_deref().unwrap_or_default().as_bytes());
        match self.batch(&namespace.db, writer, stop) {
            // A view has none.
            Err(Trouble::Refused(_)) => Ok(Vec::new()),
            indexes => indexes,
        }
    }

    /// Asks for something before anything is applied, without waiting for a target that is away.
    pub(in crate::sink::mongod) fn ask(
        &self,
        db: &str,
        command: RawDocumentBuf,
        doing: &str,
    ) -> Result<Document, Error> {
        let run = self.deployment.client().database(db);
        let answer = self.deployment.answer(run.run_raw_command(command));
        self.runtime.block_on(answer).map_err(|error| self.deployment.explain(error, doing))
    }

    /// The first batch of a cursor, which is all of what is asked for here.
    fn batch(
        &mut self,
        db: &str,
        writer: DocumentWriter,
        stop: &Stop,
    ) -> Result<Vec<Document>, Trouble> {
        let command = RawDocumentBuf::from_bytes(writer.into_bytes())
            .map_err(|error| Trouble::Failed(self.failed(&error.to_string())))?;
        Ok(batch(self.run(db, &command, Patience::Bounded, stop)?))
    }
}

/// The documents of a cursor's first batch.
pub(in crate::sink::mongod) fn batch(mut reply: Document) -> Vec<Document> {
    let cursor = reply.get_document_mut("cursor");
    let batch = cursor.and_then(|cursor| cursor.get_array_mut("firstBatch")).map(std::mem::take);
    let documents = batch.unwrap_or_default().into_iter();
    documents
        .filter_map(|entry| if let Bson::Document(entry) = entry { Some(entry) } else { None })
        .collect()
}
