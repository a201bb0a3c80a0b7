//! What the server answers to an `insert`, `update` or `delete` command.

use std::collections::BTreeSet;

use bson::{Bson, Document};
use changetape_deployment::Refusal;

/// `DuplicateKey`.
const DUPLICATE_KEY: i32 = 11000;

/// An answer.
#[derive(Debug)]
pub(super) struct Reply {
    /// Documents inserted, or found, or upserted, or deleted.
    pub(super) n: u64,
    /// Which statements inserted what they did not find.
    pub(super) upserted: BTreeSet<usize>,
    errors: Vec<WriteError>,
}

/// A statement that failed; those after it were not tried.
#[derive(Debug)]
pub(super) struct WriteError {
    /// Which statement.
    pub(super) index: usize,
    /// The server's answer.
    pub(super) refusal: Refusal,
    taken_id: bool,
}

impl WriteError {
    /// Whether a document with the same `_id` is there already. A duplicate in any other
    /// unique index is another matter.
    pub(super) fn is_taken_id(&self) -> bool {
        self.taken_id
    }
}

impl Reply {
    /// Reads an answer; `None` if it is none that makes sense.
    pub(super) fn read(reply: &Document) -> Option<Self> {
        let n = u64::try_from(whole(reply.get("n")?)?).ok()?;
        let upserted = documents(reply, "upserted").map(index).collect::<Option<_>>()?;
        let errors =
            documents(reply, "writeErrors").map(WriteError::read).collect::<Option<_>>()?;
        Some(Self { n, upserted, errors })
    }

    /// The first statement that failed, if one did.
    pub(super) fn first_error(&self) -> Option<&WriteError> {
        self.errors.first()
    }
}

impl WriteError {
    fn read(error: &Document) -> Option<Self> {
        let refusal = refusal(error);
        let on_id = error
            .get_document("keyPattern")
            .is_ok_and(|pattern| pattern.len() == 1 && pattern.contains_key("_id"));
        let taken_id = refusal.code == DUPLICATE_KEY && on_id;
        Some(Self { index: index(error)?, refusal, taken_id })
    }
}

/// A write error or a write concern error as a refusal.
pub(super) fn refusal(error: &Document) -> Refusal {
    let code = error.get("code").and_then(whole).and_then(|code| i32::try_from(code).ok());
    let text = |field| error.get_str(field).unwrap_or_default().to_owned();
    Refusal { code: code.unwrap_or(0), name: text("codeName"), message: text("errmsg") }
}

fn index(entry: &Document) -> Option<usize> {
    usize::try_from(whole(entry.get("index")?)?).ok()
}

fn documents<'a>(reply: &'a Document, field: &str) -> impl Iterator<Item = &'a Document> {
    let entries = reply.get_array(field).map(Vec::as_slice).unwrap_or_default();
    entries.iter().filter_map(Bson::as_document)
}

/// A whole number, whichever type the server chose for it.
#[allow(clippy::cast_possible_truncation)] // Checked to be whole; servers count no further.
pub(super) fn whole(value: &Bson) -> Option<i64> {
    match value {
        Bson::Int32(n) => Some((*n).into()),
        Bson::Int64(n) => Some(*n),
        Bson::Double(n) if n.fract() == 0.0 => Some(*n as i64),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use bson::doc;

    use super::*;

    #[test]
    fn an_answer_is_read() {
        let reply = Reply::read(&doc! {
            "n": 3, "nModified": 1, "ok": 1.0,
            "upserted": [{"index": 1, "_id": 7}],
            "writeErrors": [{"index": 3, "code": 11000, "errmsg": "E11000", "keyPattern": {"_id": 1}}],
        })
        .unwrap();
        assert_eq!((reply.n, reply.upserted.contains(&1)), (3, true));
        let error = reply.first_error().unwrap();
        assert_eq!((error.index, error.is_taken_id()), (3, true));
    }

    #[test]
    fn a_duplicate_in_another_index_is_another_matter() {
        for pattern in [doc! {"k": 1}, doc! {"_id": 1, "k": 1}] {
            let errors = [doc! {"index": 0, "code": 11000, "errmsg": "", "keyPattern": pattern}];
            let reply = doc! {"n": 0, "writeErrors": errors.to_vec()};
            assert!(!Reply::read(&reply).unwrap().first_error().unwrap().is_taken_id());
        }
    }

    #[test]
    fn what_makes_no_sense_is_not_read() {
        for reply in [doc! {}, doc! {"n": -1}, doc! {"n": 1, "upserted": [{}]}] {
            assert!(Reply::read(&reply).is_none(), "{reply}");
        }
    }
}
