//! Goal: what is held, and what events become by that. What servers make of it is tested with one.

use bson::doc;

use super::*;

fn ns(coll: &str) -> Namespace {
    Namespace::collection("shop", coll)
}

fn raw(document: &Document) -> RawDocumentBuf {
    RawDocumentBuf::try_from(document).unwrap()
}

/// A TTL index as it is listed.
fn index(name: &str, seconds: i32) -> Document {
    doc! {"v": 2, "key": {"at": 1}, "name": name, "expireAfterSeconds": seconds}
}

/// What is held of these collections, each with one index.
fn holding(colls: &[(&str, &str)]) -> Held {
    let mut held = Held::default();
    for (coll, name) in colls {
        held.hold(&ns(coll), Some((*name).to_owned()), 7);
    }
    held
}

fn shown(held: &Held) -> Vec<String> {
    let show = |it: Expiry| {
        format!("{} {} {}", it.namespace, it.index.as_deref().unwrap_or("-"), it.seconds)
    };
    held.expiries().into_iter().map(show).collect()
}

#[test]
fn an_index_is_created_without_its_expiry() {
    let mut held = Held::default();
    let hashed = doc! {"key": {"at": "hashed"}, "name": "h", "expireAfterSeconds": 1};
    let compound = doc! {"key": {"at": 1, "b": 1}, "name": "c", "expireAfterSeconds": 1};
    let plain = doc! {"v": 2, "key": {"at": 1}, "name": "ttl"};
    let description = |ttl: Document| doc! {"indexes": [&hashed, ttl, &compound]};
    let create = |held: &mut Held, present: &[Document]| {
        let described = raw(&description(index("ttl", 9)));
        Document::try_from(held.create_indexes(&described, &ns("a"), present).unwrap()).unwrap()
    };
    assert_eq!(create(&mut held, std::slice::from_ref(&plain)), description(plain));
    assert_eq!(shown(&held), ["shop.a ttl 9"]);
    // One that the target has keeps the longest, as it cannot have none.
    assert_eq!(create(&mut held, &[index("ttl", 5)]), description(index("ttl", LONGEST)));
    assert_eq!(shown(&held), ["shop.a ttl 9"]);
}

#[test]
fn an_expiry_of_a_former_server_may_be_no_whole_number() {
    let mut held = Held::default();
    for (coll, seconds) in [("a", 60.0), ("b", 60.7), ("c", f64::NAN)] {
        let mut index = index("ttl", 0);
        index.insert("expireAfterSeconds", seconds);
        held.create_indexes(&raw(&doc! {"indexes": [index]}), &ns(coll), &[]).unwrap();
    }
    assert_eq!(shown(&held), ["shop.a ttl 60", "shop.b ttl 60"]);
}

#[test]
fn a_collection_is_created_without_its_expiry() {
    let mut held = Held::default();
    let clustered = doc! {"clusteredIndex": {"key": {"_id": 1}}, "expireAfterSeconds": 9_i64};
    let created = held.create(&raw(&clustered), &ns("a")).unwrap();
    assert_eq!(created, raw(&doc! {"clusteredIndex": {"key": {"_id": 1}}}));
    assert_eq!(shown(&held), ["shop.a - 9"]);
    let series = doc! {"timeseries": {}, "clusteredIndex": true, "expireAfterSeconds": 9_i64};
    assert_eq!(held.create(&raw(&series), &ns("b")).unwrap(), raw(&series));
    assert_eq!(shown(&held), ["shop.a - 9"]);
}

#[test]
fn a_change_loses_the_expiry_alone() {
    let mut held = Held::default();
    let plain = doc! {"key": {"at": 1}, "name": "ttl"};
    let mut modify = |change: Document, present: &Document| {
        let present = std::slice::from_ref(present);
        let change = held.modify(&raw(&change), &ns("a"), present).unwrap();
        (Document::try_from(change).unwrap(), shown(&held).join(", "))
    };
    let change = |index: Document| doc! {"index": index, "validationLevel": "off"};
    let expiry = change(doc! {"name": "ttl", "expireAfterSeconds": 9, "hidden": true});
    let rest = change(doc! {"name": "ttl", "hidden": true});
    assert_eq!(modify(expiry.clone(), &plain), (rest, "shop.a ttl 9".to_owned()));
    let longest = change(doc! {"name": "ttl", "hidden": true, "expireAfterSeconds": LONGEST});
    assert_eq!(modify(expiry, &index("ttl", 1)).0, longest);
    let only = change(doc! {"name": "ttl", "expireAfterSeconds": 8});
    let nothing = doc! {"validationLevel": "off"};
    assert_eq!(modify(only.clone(), &plain), (nothing, "shop.a ttl 8".to_owned()));
    // The server says that there is none.
    let other = doc! {"key": {"at": 1}, "name": "other"};
    assert_eq!(modify(only.clone(), &other), (only, "shop.a ttl 8".to_owned()));

    let off = doc! {"expireAfterSeconds": "off"};
    let on = modify(doc! {"expireAfterSeconds": 3_i64}, &plain);
    assert_eq!(on, (off.clone(), "shop.a - 3, shop.a ttl 8".to_owned()));
    assert_eq!(modify(off.clone(), &plain), (off, "shop.a ttl 8".to_owned()));
}

#[test]
fn what_is_gone_is_not_held() {
    let all = || holding(&[("a", "x"), ("a", "y"), ("b", "x")]);
    let mut held = all();
    held.drop_indexes(&raw(&doc! {"indexes": [{"name": "x"}]}), &ns("a")).unwrap();
    assert_eq!(shown(&held), ["shop.a y 7", "shop.b x 7"]);
    let mut held = all();
    held.drop(&ns("a"));
    assert_eq!(shown(&held), ["shop.b x 7"]);
    let mut held = all();
    held.drop(&Namespace::database("other"));
    assert_eq!(held, all());
    held.drop(&Namespace::database("shop"));
    assert!(held.is_empty());
}

#[test]
fn what_is_held_is_renamed_with_its_collection() {
    let mut held = holding(&[("a", "x"), ("b", "y"), ("c", "z")]);
    held.rename(&ns("a"), &ns("b"));
    assert_eq!(shown(&held), ["shop.b x 7", "shop.c z 7"]);
}

#[test]
fn what_was_held_of_a_collection_that_was_renamed_over_is_forgotten_after_a_crash_too() {
    // `y` was the former one's; the present one has an index of the name that lets nothing expire.
    let mut held = holding(&[("a", "x"), ("b", "y"), ("b", "kept")]);
    let plain = doc! {"key": {"at": 1}, "name": "y"};
    held.renamed(&ns("a"), &ns("b"), &[plain, index("kept", LONGEST)]);
    assert_eq!(shown(&held), ["shop.b kept 7", "shop.b x 7"]);
}

#[test]
fn what_the_target_keeps_is_read_again() {
    let mut held = holding(&[("a", "x"), ("b.c", "y")]);
    held.hold(&ns("d"), None, 1 << 40);
    let kept = Document::try_from(rawdoc! {"held": held.to_array()}).unwrap();
    let read = Held::from_array(kept.get_array("held").unwrap());
    assert_eq!(read, Held { is_changed: false, ..held });
}

#[test]
fn only_what_expires_is_held_back() {
    let indexes = [index("a", 5), index("b", LONGEST), doc! {"key": {"c": 1}, "name": "c"}];
    let mut options = doc! {"clusteredIndex": {}, "expireAfterSeconds": 8_i64};
    let found = |options: &Document| {
        let mut held = Held::default();
        let collection = doc! {"options": options};
        for expiry in firing(&ns("a"), &collection, &indexes) {
            held.take_over(expiry);
        }
        shown(&held)
    };
    assert_eq!(found(&options), ["shop.a - 8", "shop.a a 5"]);
    options.insert("timeseries", doc! {});
    assert_eq!(found(&options), ["shop.a a 5"]);
}
