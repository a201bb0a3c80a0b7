//! `Expiry`: whether a server may have removed a document by itself, as a TTL index has it do.
//!
//! An index removes a document once the earliest of the dates in its field is so many seconds ago.
//! Whether that has come to pass is a matter of when one looks, which no tape says. A clustered
//! collection may do so itself, by its `_id`s.
//!
//! Of a collection that was there before the tape, the database knows what the tape does not.

use changetape_core::Error;
use changetape_core::raw::{self, Element, kind};

use super::definition::{Definition, Fields, number};
use super::target::Listed;

const WHAT: &str = "a document";

/// How far the server's clock may be ahead of ours: as far as Kerberos lets clocks be apart.
const APART_MILLIS: i64 = 5 * 60 * 1000;

/// By what documents of a collection expire.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Expiry(Vec<Rule>);

#[derive(Debug, Clone, PartialEq)]
struct Rule {
    /// The field, outermost name first.
    path: Vec<Vec<u8>>,
    seconds: i64,
}

impl Expiry {
    /// As a collection has to be, and, where the tape does not know all of that, as it was found.
    pub(super) fn of(definition: &Definition, found: Option<&Listed>) -> Result<Self, Error> {
        let seconds = |of: &Fields| of.get(b"expireAfterSeconds").and_then(number);
        let known = &definition.indexes;
        let others = found.filter(|_| !definition.all_indexes).map(|found| &found.indexes);
        let others = others.into_iter().flatten().filter(|(name, _)| !known.contains_key(*name));
        let options = definition.options.as_ref().or(found.map(|found| &found.options));
        let itself = options.and_then(seconds);
        let itself = itself.map(|seconds| Rule { path: vec![b"_id".to_vec()], seconds });
        let mut rules: Vec<_> = itself.into_iter().collect();
        for index in known.values().flatten().chain(others.map(|(_, index)| index)) {
            let Some(seconds) = seconds(index) else { continue };
            let Some(key) = index.get(b"key").and_then(|key| key.document()) else { continue };
            // There is but one.
            if let Some(field) = raw::elements(WHAT, key)?.next().transpose()? {
                let path = field.name.split(|&byte| byte == b'.').map(<[u8]>::to_vec).collect();
                rules.push(Rule { path, seconds });
            }
        }
        Ok(Self(rules))
    }

    /// Whether any document may be gone, whatever it is.
    pub(super) fn may_have_removed_any(&self) -> bool {
        !self.0.is_empty()
    }

    /// Whether a document may be gone by a time, in milliseconds since the Unix epoch.
    pub(super) fn may_have_removed(&self, document: &[u8], now: i64) -> Result<bool, Error> {
        for Rule { path, seconds } in &self.0 {
            if let Some(date) = earliest(document, path)? {
                let due = date.saturating_add(seconds.saturating_mul(1_000));
                if due <= now.saturating_add(APART_MILLIS) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}

/// The earliest date that a field holds, by itself or in arrays.
fn earliest(document: &[u8], path: &[Vec<u8>]) -> Result<Option<i64>, Error> {
    let Some((name, inner)) = path.split_first() else { return Ok(None) };
    for element in raw::elements(WHAT, document)? {
        let element = element?;
        if element.name == name {
            return earliest_in(element, inner);
        }
    }
    Ok(None)
}

fn earliest_in(element: Element<'_>, path: &[Vec<u8>]) -> Result<Option<i64>, Error> {
    if let Some(array) = element.array() {
        let mut first = None;
        for element in raw::elements(WHAT, array)? {
            let date = earliest_in(element?, path)?;
            first = first.into_iter().chain(date).min();
        }
        return Ok(first);
    }
    if !path.is_empty() {
        return element.document().map_or(Ok(None), |document| earliest(document, path));
    }
    let date = (element.kind == kind::DATE).then_some(element.value);
    Ok(date.and_then(|value| Some(i64::from_le_bytes(value.try_into().ok()?))))
}

#[cfg(test)]
mod tests {
    use bson::raw::RawDocumentBuf;
    use bson::{Bson, DateTime, Document, doc};

    use super::super::definition::Kind;
    use super::*;

    /// In milliseconds.
    const HOUR: i64 = 3_600_000;

    fn expiry(index: &Document) -> Expiry {
        let mut definition = Definition::default();
        definition.indexes.insert("i".to_owned(), Some(fields(index)));
        definition.indexes.insert("dropped".to_owned(), None);
        Expiry::of(&definition, None).unwrap()
    }

    fn fields(document: &Document) -> Fields {
        Fields::read(&document.to_vec().unwrap()).unwrap()
    }

    #[track_caller]
    fn removes(expiry: &Expiry, document: &Document, now: i64) -> bool {
        let document = RawDocumentBuf::try_from(document).unwrap();
        expiry.may_have_removed(document.as_bytes(), now).unwrap()
    }

    #[test]
    fn what_has_expired_may_be_gone() {
        let at = |millis| DateTime::from_millis(millis);
        let hour = expiry(&doc! {"key": {"at": 1}, "expireAfterSeconds": 3_600.0});
        assert!(removes(&hour, &doc! {"at": at(7)}, HOUR + 7));
        assert!(removes(&hour, &doc! {"at": at(7)}, HOUR + 7 - APART_MILLIS));
        assert!(!removes(&hour, &doc! {"at": at(7)}, HOUR + 6 - APART_MILLIS));
        assert!(removes(&hour, &doc! {"at": ["no date", at(9 * HOUR), at(7)]}, HOUR + 7));
        for never in [Bson::Int64(7), Bson::Null, Bson::Array(vec![]), doc! {"at": at(7)}.into()] {
            assert!(!removes(&hour, &doc! {"at": never.clone()}, i64::MAX), "{never}");
        }
        assert!(!removes(&hour, &doc! {"other": at(7)}, i64::MAX));
    }

    #[test]
    fn a_field_may_lie_inside_another() {
        let inside = expiry(&doc! {"key": {"a.at": -1}, "expireAfterSeconds": 0});
        let at = DateTime::from_millis(7);
        assert!(removes(&inside, &doc! {"a": {"at": at}}, 7));
        assert!(removes(&inside, &doc! {"a": [{"b": 1}, {"at": at}]}, 7));
        assert!(!removes(&inside, &doc! {"a.at": at}, i64::MAX));
    }

    #[test]
    fn no_other_index_removes_anything() {
        let none = expiry(&doc! {"key": {"at": 1}});
        assert_eq!((none.may_have_removed_any(), none), (false, Expiry::default()));
    }

    #[test]
    fn a_clustered_collection_may_remove_by_its_ids() {
        let options = fields(&doc! {"clusteredIndex": true, "expireAfterSeconds": 3_600_i64});
        let definition = Definition { options: Some(options), ..Definition::default() };
        let itself = Expiry::of(&definition, None).unwrap();
        assert!(removes(&itself, &doc! {"_id": DateTime::from_millis(7)}, HOUR + 7));
        assert!(!removes(&itself, &doc! {"at": DateTime::from_millis(7)}, HOUR + 7));
    }

    #[test]
    fn what_the_tape_does_not_know_the_database_does() {
        let index = |name: &str| {
            (name.to_owned(), fields(&doc! {"key": {"at": 1}, "expireAfterSeconds": 0}))
        };
        let found = |name| Listed {
            kind: Kind::Collection,
            options: Fields::default(),
            indexes: [index(name)].into(),
        };
        let mut definition = Definition::default();
        definition.indexes.insert("dropped".to_owned(), None);
        let of = |definition: &Definition, name| {
            Expiry::of(definition, Some(&found(name))).unwrap().may_have_removed_any()
        };
        assert!(of(&definition, "at"));
        assert!(!of(&definition, "dropped"));
        definition.all_indexes = true;
        assert!(!of(&definition, "at"), "it should not be there");
    }
}
