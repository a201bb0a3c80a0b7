//! `RandomUpdates`: documents of every shape and updates of every kind, from a seed.
//!
//! ```text
//! document ──► update ──► (the server, or its event) ──► document ──► update …
//! ```
//! Made for code that must follow a server byte for byte. Names repeat, so that updates
//! meet; some of them are empty, numbers, start with `$` or have dots in them. Values are of
//! every BSON type. An update is one of three kinds:
//!
//! | kind | what the server makes of it |
//! | --- | --- |
//! | operators | `$set`, `$unset`, `$inc`, `$rename`, `$push`, `$pull`, …: a diff by path |
//! | pipeline | `$set`, `$unset`, `$setField`, `$slice`, …: a diff of before and after |
//! | rewrite | `$replaceWith` a copy with any changes at all: likewise |
//!
//! An update is made for one document but nothing promises that the server accepts it, or
//! that it changes something: paths run into scalars, `$inc` meets strings. Callers read
//! what became of it from the server.

mod operators;
mod pipelines;
mod rewrites;
mod values;

use bson::{Bson, Document};

/// A source of documents and updates; one seed gives one sequence.
#[derive(Debug)]
pub struct RandomUpdates {
    rng: fastrand::Rng,
}

/// One update, of one document.
#[derive(Debug, Clone, PartialEq)]
pub enum RandomUpdate {
    /// Update operators.
    Operators(Document),
    /// An aggregation pipeline.
    Pipeline(Vec<Document>),
}

impl RandomUpdates {
    /// Starts the sequence of this seed.
    #[must_use]
    pub fn with_seed(seed: u64) -> Self {
        Self { rng: fastrand::Rng::with_seed(seed) }
    }

    /// A document of one to two kilobytes.
    pub fn document(&mut self, id: impl Into<Bson>) -> Document {
        values::document(&mut self.rng, id.into())
    }

    /// An update for this document, which is as the server has it.
    pub fn update(&mut self, document: &Document) -> RandomUpdate {
        match self.rng.u8(..10) {
            0..4 => RandomUpdate::Operators(operators::update(&mut self.rng, document)),
            4..7 => RandomUpdate::Pipeline(pipelines::update(&mut self.rng, document)),
            _ => RandomUpdate::Pipeline(rewrites::update(&mut self.rng, document)),
        }
    }

    /// The source of randomness, for what else a test leaves to chance.
    pub fn rng(&mut self) -> &mut fastrand::Rng {
        &mut self.rng
    }
}

impl From<RandomUpdate> for Bson {
    /// As it stands in an `update` command, under `u`.
    fn from(update: RandomUpdate) -> Self {
        match update {
            RandomUpdate::Operators(operators) => operators.into(),
            RandomUpdate::Pipeline(stages) => stages.into(),
        }
    }
}

/// One of these.
fn one_of<'a, T>(rng: &mut fastrand::Rng, choices: &'a [T]) -> Option<&'a T> {
    choices.get(rng.usize(..choices.len().max(1)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn one_seed_gives_one_sequence_with_every_type_in_it() {
        let (mut one, mut other) = (RandomUpdates::with_seed(7), RandomUpdates::with_seed(7));
        let mut kinds = BTreeSet::new();
        for id in 0..300 {
            let document = one.document(id);
            // Bytes: a NaN equals no other.
            assert_eq!(document.to_vec().unwrap(), other.document(id).to_vec().unwrap());
            let update = |random: &mut RandomUpdates| {
                Document::from_iter([("u".to_owned(), random.update(&document).into())])
            };
            assert_eq!(update(&mut one).to_vec().unwrap(), update(&mut other).to_vec().unwrap());
            kinds.extend(document.values().map(|value| value.element_type() as u8));
        }
        assert_eq!(kinds.len(), 21);
    }
}
