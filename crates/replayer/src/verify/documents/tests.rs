//! Goal: each kind of event leaves of a document what the table in the module's documentation says.
//!
//! Method: events as a server writes them, one after the other; then what is known is looked at.

use bson::{Bson, Document, doc, rawdoc};
use changetape_core::ChangeEvent;

use super::*;

const HERE: u32 = 1;

struct Known {
    documents: Documents,
    whole: bool,
}

impl Known {
    fn of(whole: bool, post_images: bool) -> Self {
        Self { documents: Documents::new(Part::ALL, post_images), whole }
    }

    /// An event about the document 1, with more fields.
    fn event(&mut self, operation: &str, more: Document) -> &mut Self {
        let mut event = doc! {
            "operationType": operation, "ns": {"db": "shop", "coll": "a"}, "documentKey": {"_id": 1},
        };
        event.extend(more);
        let event = ChangeEvent::from(RawDocumentBuf::try_from(&event).unwrap());
        let change = Change::read(&event).unwrap();
        self.documents.apply(&change, Lineage::new(HERE), self.whole).unwrap();
        self
    }

    fn insert(&mut self) -> &mut Self {
        self.event("insert", doc! {"fullDocument": {"_id": 1, "a": 1}})
    }

    fn update(&mut self, to: impl Into<Bson>) -> &mut Self {
        let diff = doc! {"$v": 2, "diff": {"u": {"a": to.into()}}};
        self.event("update", doc! {"rawUpdateDescription": diff})
    }

    fn public(&mut self) -> &mut Self {
        self.event(
            "update",
            doc! {
                "updateDescription": {"updatedFields": {"a": 5}},
                "fullDocument": {"_id": 1, "a": 5},
            },
        )
    }

    fn state(&self) -> Option<&State> {
        self.documents.of(Lineage::new(HERE)).next().map(|(_, state)| state)
    }

    #[track_caller]
    fn is(&self, a: i32) {
        assert_eq!(self.state(), Some(&State::Is(rawdoc! {"_id": 1, "a": a})));
    }
}

#[test]
fn inserts_replaces_updates_and_deletes_make_a_document_known() {
    Known::of(true, false).insert().is(1);
    Known::of(true, false).insert().update(2).is(2);
    let replaced = doc! {"fullDocument": {"_id": 1, "a": 3}};
    Known::of(false, false).event("replace", replaced.clone()).update(4).is(4);
    Known::of(false, false).update(2).event("replace", replaced).is(3);
    let gone = |whole| {
        let mut known = Known::of(whole, false);
        known.insert().event("delete", doc! {});
        known.documents.of(Lineage::new(HERE)).next().map(|(_, state)| *state == State::Gone)
    };
    assert_eq!((gone(false), gone(true)), (Some(true), None));
}

#[test]
fn what_was_changed_is_there_also_where_the_tape_does_not_say_as_what() {
    let there = Some(&State::There);
    assert_eq!(Known::of(false, false).update(2).state(), there);
    // Where a gap lacks the insert, too.
    assert_eq!(Known::of(true, false).update(2).state(), there);
    assert_eq!(Known::of(true, false).insert().public().state(), there);
    assert_eq!(Known::of(true, false).insert().public().update(2).state(), there);
    // Behind a gap: what is known is a number, and this changes binary data.
    let data = bson::Binary { subtype: bson::spec::BinarySubtype::Generic, bytes: vec![1] };
    let diff = doc! {"$v": 2, "diff": {"b": {"a": {"o": 0, "d": data}}}};
    let unfit = doc! {"rawUpdateDescription": diff};
    assert_eq!(Known::of(true, false).insert().event("update", unfit).state(), there);
}

#[test]
fn a_part_of_an_event_says_whether_a_document_is_there() {
    let part = || doc! {"splitEvent": {"fragment": 1, "of": 2}};
    for operation in ["insert", "update", "replace"] {
        let mut known = Known::of(true, false);
        assert_eq!(known.insert().event(operation, part()).state(), Some(&State::There));
    }
    assert_eq!(Known::of(false, false).event("delete", part()).state(), Some(&State::Gone));
    assert_eq!(Known::of(true, false).insert().event("delete", part()).state(), None);
}

#[test]
fn a_post_image_is_what_a_document_is_where_it_is_one() {
    Known::of(false, true).public().is(5);
    Known::of(false, true).public().update(6).is(6);
}

#[test]
fn a_conversion_may_have_left_documents_behind() {
    let mut known = Known::of(true, false);
    known.insert().documents.convert(Lineage::new(HERE));
    assert_eq!(known.state(), Some(&State::MayBe(rawdoc! {"_id": 1, "a": 1})));
    // It was there to be changed.
    known.update(2).is(2);
    let mut known = Known::of(false, false);
    known.update(2).documents.convert(Lineage::new(HERE));
    assert_eq!(known.state(), Some(&State::Unknown));
    assert_eq!(known.public().state(), Some(&State::There));
}

#[test]
fn memory_is_counted_up_and_down() {
    let mut known = Known::of(true, false);
    known.insert();
    let one = known.documents.bytes;
    assert!(one > ENTRY);
    known.update("a longer text than a number takes");
    assert!(known.documents.bytes > one + 20);
    known.event("delete", doc! {});
    assert_eq!(known.documents.bytes, 0);
    known.insert().documents.drop_all(Lineage::new(HERE));
    assert_eq!((known.documents.bytes, known.state()), (0, None));
}

#[test]
fn only_documents_of_the_part_are_kept_and_equal_numbers_are_different_documents() {
    let here = Lineage::new(HERE);
    let (mut next, mut kept, mut parts) = (Some(Part::ALL), 0, 0);
    while let Some(part) = next {
        let mut documents = Documents::new(part, false);
        for n in 0..50 {
            for id in [Bson::Int32(n), Bson::Int64(n.into()), Bson::Double(n.into())] {
                documents.put(here, &doc! {"_id": id}.to_vec().unwrap()).unwrap();
                documents.fit_into(10 * ENTRY);
                assert!(documents.bytes <= 10 * ENTRY);
            }
        }
        let part = documents.part();
        let mut key = Vec::new();
        write_key(&mut key, Element { kind: 0x12, name: b"_id", value: &77_i64.to_le_bytes() });
        assert_eq!(documents.is_unexpected(here, &key), part.holds(here, &key));
        kept += documents.of(here).count();
        (next, parts) = (part.rest(), parts + 1);
    }
    assert_eq!(kept, 150);
    assert!(parts > 15, "{parts}");
}
