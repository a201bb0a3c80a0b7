//! `Identity`: which document an event is about, so that two events of one document are known to be.
//!
//! The server takes two `_id`s for the same whose values are equal, whatever types they have: `1`,
//! `1.0` and `NumberDecimal("1")`, also inside an embedded document; a symbol is a string. So an
//! identity is the `_id`'s bytes with those made alike. Where it takes two different ones for the
//! same (large whole numbers are compared as doubles here), their events merely keep their order.
//! A collection's collation makes more of them alike: what is out of order then, the server refuses.

use std::borrow::Cow;

use bson::Decimal128;
use changetape_core::raw::{self, DocumentWriter, Element, kind};
use changetape_core::{ChangeEvent, Error};

use super::statement;

/// The BSON types that are compared with others, besides those that [`kind`] names.
const DECIMAL: u8 = 0x13;
const SYMBOL: u8 = 0x0E;

/// A document's `_id`, in a form that is equal where the server finds it equal.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Identity<'e>(u8, Cow<'e, [u8]>);

impl<'e> Identity<'e> {
    /// Of the document that an event changes. On a sharded cluster too `_id` stands for the
    /// document, whose other shard key fields an update may change.
    pub(super) fn of(event: &'e ChangeEvent<'_>) -> Result<Self, Error> {
        let id = statement::id(event)?;
        let (kind, value) = alike(id)?;
        Ok(Self(kind, value))
    }
}

/// The type and bytes of a value, the same for all that are equal to it.
fn alike(element: Element<'_>) -> Result<(u8, Cow<'_, [u8]>), Error> {
    let number = |value: f64| {
        // Both zeros are equal, and so is whatever is no number.
        let value = if value == 0.0 {
            0.0
        } else if value.is_nan() {
            f64::NAN
        } else {
            value
        };
        (kind::DOUBLE, Cow::Owned(value.to_le_bytes().to_vec()))
    };
    Ok(match element.kind {
        kind::DOUBLE => number(double(element.value)),
        #[expect(clippy::cast_precision_loss, reason = "what is taken for equal keeps its order")]
        kind::INT32 | kind::INT64 => number(element.as_i64().unwrap_or_default() as f64),
        DECIMAL => number(decimal(element.value)),
        SYMBOL => (kind::STRING, Cow::Borrowed(element.value)),
        kind::DOCUMENT | kind::ARRAY => {
            let mut writer = DocumentWriter::with_capacity(element.value.len());
            for inner in raw::elements(statement::WHAT, element.value)? {
                let inner = inner?;
                let (kind, value) = alike(inner)?;
                writer.value(kind, inner.name, &value);
            }
            (element.kind, Cow::Owned(writer.into_bytes()))
        }
        kind => (kind, Cow::Borrowed(element.value)),
    })
}

fn double(value: &[u8]) -> f64 {
    value.try_into().map(f64::from_le_bytes).unwrap_or_default()
}

fn decimal(value: &[u8]) -> f64 {
    let bytes: [u8; 16] = value.try_into().unwrap_or_default();
    Decimal128::from_bytes(bytes).to_string().parse().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use bson::raw::RawDocumentBuf;
    use bson::{Bson, doc};

    use super::*;

    fn same(one: impl Into<Bson>, other: impl Into<Bson>) -> bool {
        let event = |id: Bson| {
            let event = doc! {"documentKey": {"shard": 1, "_id": id}};
            ChangeEvent::from(RawDocumentBuf::try_from(&event).unwrap())
        };
        let (one, other) = (event(one.into()), event(other.into()));
        Identity::of(&one).unwrap() == Identity::of(&other).unwrap()
    }

    #[test]
    fn what_the_server_finds_equal_is_one_document() {
        let decimal = |text: &str| Bson::Decimal128(text.parse().unwrap());
        assert!(same(1, 1.0) && same(1_i64, 1) && same(decimal("1.0"), 1) && same(0.0, -0.0));
        assert!(same(f64::NAN, decimal("NaN")));
        assert!(same(Bson::Symbol("a".into()), "a"));
        assert!(same(doc! {"a": [1, {"b": 2_i64}]}, doc! {"a": [1.0, {"b": decimal("2")}]}));
    }

    #[test]
    fn what_it_tells_apart_is_not() {
        assert!(!same(1, 2) && !same(1, "1") && !same(1, true) && !same("a", "A"));
        assert!(!same(doc! {"a": 1, "b": 1}, doc! {"b": 1, "a": 1}), "the order of fields counts");
        assert!(!same(doc! {"a": 1}, doc! {"a": 2}));
    }
}
