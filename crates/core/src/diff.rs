//! `UpdateDiff`: the server's own record of an update, `{$v: 2, diff: {…}}`.
//!
//! ```text
//! diff     := { d: {<field>: _, …}           deleted fields
//!               u: {<field>: <value>, …}     changed in place; appended where missing
//!               i: {<field>: <value>, …}     appended at the end, an old copy is dropped first
//!               b: {<field>: {o, d}, …}      binary data: what follows offset `o` becomes `d`
//!               s<field>: diff | array, … }  changed inside
//! array    := { a: true
//!               l: <new length>              cut, or padded with null
//!               u<index>: <value>, …         set; a gap before it is padded with null
//!               s<index>: diff | array, … }  changed inside; ascending, mixed with `u`
//! ```
//! Every part is optional but the order is fixed, no diff or sub-diff is empty, the outermost
//! one is never an array's, and one level names a field once. What breaks these rules is
//! [`Error::BadDiff`]; it is never skipped, for a diff half applied is a document nobody ever
//! stored. Servers newer than 6.0 write `b` in the buckets of time-series collections.
//!
//! A diff may meet a document that is not the one it was made from, as when a replay runs
//! over the same stretch twice. Then the server does not fail, and neither does this: a
//! sub-diff of a missing field is nothing; one of a field of another type makes the field
//! null, because an event that is still to come rewrites it.
//!
//! Both [`UpdateDiff::apply`] and [`UpdateDiff::describe`] are what MongoDB 6.0 does, byte
//! for byte; `tests/diff_against_server.rs` holds them to it. The format is no documented
//! interface: it was tried on 6.0.5, and `b` read in the server's own tests.

mod apply;
mod describe;
mod index;
mod read;

use bson::raw::{RawDocument, RawDocumentBuf};

pub use self::describe::DisambiguatedPaths;
use crate::Error;
use crate::raw::{self, DocumentWriter};

/// How deep sub-diffs may nest, and arrays in arrays of a value. A server reads no BSON
/// that is nested deeper, so none of its diffs are; the bound keeps a damaged one from
/// exhausting the stack.
const MAX_NESTING: usize = 200;

/// How large a document may grow while it is built, in bytes: the server's own bound on a
/// buffer. Lengths and paths in a damaged diff can ask for far more than the diff itself holds.
const MAX_BUILT: usize = if cfg!(test) { 1 << 20 } else { 64 << 20 };

const WHAT: &str = "the update diff";

/// One update as the server logged it, read from its bytes.
///
/// Nothing is decoded before it is asked for: creating one reads the version only.
///
/// ```
/// use bson::rawdoc;
/// use changetape_core::{DisambiguatedPaths, UpdateDiff};
///
/// # fn main() -> Result<(), changetape_core::Error> {
/// let update = rawdoc! {"$v": 2, "diff": {"d": {"b": false}, "sc": {"u": {"d": 5}}}};
/// let update = UpdateDiff::from_raw(&update)?;
///
/// let before = rawdoc! {"_id": 1, "b": 2, "c": {"d": 3}};
/// assert_eq!(update.apply(&before)?, rawdoc! {"_id": 1, "c": {"d": 5}});
///
/// assert_eq!(
///     update.describe(DisambiguatedPaths::Omit)?,
///     rawdoc! {"updatedFields": {"c.d": 5}, "removedFields": ["b"], "truncatedArrays": []},
/// );
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct UpdateDiff<'a> {
    diff: &'a [u8],
}

impl<'a> UpdateDiff<'a> {
    /// Takes `{$v: 2, diff: {…}}`, the value of an event's `rawUpdateDescription`.
    ///
    /// # Errors
    /// [`Error::BadDiff`] if it is of another version or has another shape,
    /// [`Error::MalformedAt`] if it is no BSON.
    pub fn from_raw(raw: &'a RawDocument) -> Result<Self, Error> {
        let mut version = None;
        let mut diff = None;
        for element in raw::elements(WHAT, raw.as_bytes())? {
            let element = element?;
            match element.name {
                b"$v" => version = element.as_i64(),
                b"diff" => diff = element.document(),
                // What a newer server adds may change what the rest means.
                other => return Err(Error::bad_diff(other, "a field this version does not know")),
            }
        }
        if version != Some(2) {
            return Err(Error::bad_diff(b"$v", "expected version 2"));
        }
        let diff = diff.ok_or_else(|| Error::bad_diff(b"diff", "expected a document"))?;
        Ok(Self { diff })
    }

    /// The document after the update, as the server stores it: `document` is the one before.
    ///
    /// # Errors
    /// [`Error::BadDiff`] if the diff breaks its format, [`Error::DiffMismatch`] if it cannot
    /// be applied to this document, [`Error::MalformedAt`] if either is no BSON.
    pub fn apply(&self, document: &RawDocument) -> Result<RawDocumentBuf, Error> {
        let pre = document.as_bytes();
        let mut out = DocumentWriter::with_capacity(pre.len() + self.diff.len());
        apply::apply(pre, self.diff, &mut out)?;
        out.finish()
    }

    /// The public `updateDescription` of this update, as a `watch()` on the server shows it.
    ///
    /// It says less than the diff does: fields that moved and fields that changed in place
    /// look alike, and a path may also be a name with a dot in it.
    ///
    /// # Errors
    /// [`Error::BadDiff`] if the diff breaks its format, [`Error::MalformedAt`] if it is no BSON.
    pub fn describe(&self, paths: DisambiguatedPaths) -> Result<RawDocumentBuf, Error> {
        let mut out = DocumentWriter::with_capacity(self.diff.len() + 96);
        self.describe_into(paths, &mut out)?;
        out.finish()
    }

    /// Writes the description into the document that is open.
    pub(crate) fn describe_into(
        &self,
        paths: DisambiguatedPaths,
        out: &mut DocumentWriter,
    ) -> Result<(), Error> {
        describe::describe(self.diff, paths, out)
    }
}

#[cfg(test)]
mod tests;
