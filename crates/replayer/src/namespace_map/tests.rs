//! Goal: names and whole events under a map, and every kind of map that is refused.

use bson::raw::RawDocumentBuf;
use bson::{doc, rawdoc};

use super::*;

fn map(rules: &[&str]) -> NamespaceMap {
    NamespaceMap::parse(rules).unwrap()
}

fn refusal(rules: &[&str]) -> String {
    NamespaceMap::parse(rules).unwrap_err().to_string()
}

fn target(map: &NamespaceMap, ns: &str) -> String {
    map.target(&ns.parse().unwrap()).to_string()
}

fn apply(map: &NamespaceMap, event: RawDocumentBuf) -> Result<Mapped, Error> {
    map.apply(Seq::new(7), &ChangeEvent::from(event))
}

fn changed(map: &NamespaceMap, event: RawDocumentBuf) -> RawDocumentBuf {
    match apply(map, event).unwrap() {
        Mapped::Changed(event) => event.as_raw().to_owned(),
        other => panic!("{other:?}"),
    }
}

fn description(event: &RawDocumentBuf) -> bson::Document {
    event.get_document("operationDescription").unwrap().try_into().unwrap()
}

fn insert(db: &str, coll: &str) -> RawDocumentBuf {
    rawdoc! {"_id": 1, "operationType": "insert", "ns": {"db": db, "coll": coll}, "fullDocument": {"ns": 1}}
}

#[test]
fn the_first_rule_that_covers_a_namespace_decides() {
    let map = map(&["shop.orders=test.o", "shop=live", "a.*=b.*", "x=y", "y=x"]);
    for (from, to) in [
        ("shop.orders", "test.o"),
        ("shop.orders.old", "live.orders.old"),
        ("shop", "live"),
        ("a.c", "b.c"),
        ("x.c", "y.c"),
        ("y.c", "x.c"),
        ("other.c", "other.c"),
    ] {
        assert_eq!(target(&map, from), to, "{from}");
    }
}

#[test]
fn malformed_rules_are_refused_with_the_accepted_form() {
    for (rule, reason) in [
        ("a.b", "no ="),
        ("a=b=c", "more than one ="),
        ("=b", "name is missing"),
        ("a=", "name is missing"),
        ("a.=b.c", "name is missing"),
        ("a.b=c", "one side is a collection"),
        ("a.*=c.d", "one side is a collection"),
        ("a.x*=c.y*", "* stands only"),
        ("*=c", "* stands only"),
        ("a=admin", "server's own"),
        ("a.b=local.b", "server's own"),
        ("a=b$", "no name for a database"),
        ("a.b=c.system.views", "no name for a collection"),
    ] {
        let text = refusal(&[rule]);
        assert!(text.contains(reason), "{rule}: {text}");
        assert!(text.contains("db.collection=db.collection"), "{rule}: {text}");
    }
}

#[test]
fn rules_that_contradict_each_other_are_refused() {
    for (rules, reason) in [
        (["a.b=c.d", "a.b=e.f"], "the same is mapped"),
        (["a=c", "a.*=d.*"], "the same is mapped"),
        (["a.b=c.d", "e.f=c.d"], "the same place"),
        (["a=c", "b=c"], "the same place"),
        (["a=c", "a.b=d.e"], "never applies"),
    ] {
        let text = refusal(&rules);
        assert!(text.contains(reason), "{rules:?}: {text}");
    }
}

#[test]
fn an_event_gets_its_new_names_and_nothing_else_changes() {
    let map = map(&["shop.orders=test.o"]);
    assert_eq!(changed(&map, insert("shop", "orders")), insert("test", "o"));
    assert_eq!(apply(&map, insert("shop", "items")).unwrap(), Mapped::Unchanged);
    assert_eq!(apply(&map, rawdoc! {"operationType": "invalidate"}).unwrap(), Mapped::Unchanged);
}

#[test]
fn both_names_of_a_rename_are_mapped() {
    let map = map(&["shop.orders=test.o", "shop=live"]);
    let rename = |from: (&str, &str), to: (&str, &str)| {
        rawdoc! {
            "operationType": "rename",
            "ns": {"db": from.0, "coll": from.1},
            "to": {"db": to.0, "coll": to.1},
            "operationDescription": {"to": {"db": to.0, "coll": to.1}, "dropTarget": true},
        }
    };
    assert_eq!(
        changed(&map, rename(("shop", "new"), ("shop", "orders"))),
        rename(("live", "new"), ("test", "o"))
    );
}

#[test]
fn a_view_follows_what_it_is_on_inside_its_database() {
    let map = map(&["shop.orders=shop.o", "shop.items=other.items"]);
    let view = |on: &str| {
        rawdoc! {
            "operationType": "create", "ns": {"db": "shop", "coll": "view"},
            "operationDescription": {"viewOn": on, "pipeline": [{"$match": {"viewOn": on}}]},
        }
    };
    let expected = doc! {"viewOn": "o", "pipeline": [{"$match": {"viewOn": "orders"}}]};
    let event = changed(&map, view("orders"));
    assert_eq!(description(&event), expected);
    assert!(matches!(apply(&map, view("items")).unwrap(), Mapped::Impossible(_)));
}

#[test]
fn old_index_specifications_name_the_collection_again() {
    let map = map(&["shop=test"]);
    let event = changed(
        &map,
        rawdoc! {
            "operationType": "createIndexes", "ns": {"db": "shop", "coll": "orders"},
            "operationDescription": {"indexes": [{"v": 2, "key": {"ns": 1}, "ns": "shop.orders"}]},
        },
    );
    let expected = doc! {"indexes": [{"v": 2, "key": {"ns": 1}, "ns": "test.orders"}]};
    assert_eq!(description(&event), expected);
}

#[test]
fn two_namespaces_never_end_up_in_one() {
    let collides = |rules: &[&str], db: &str, coll: &str| {
        matches!(apply(&map(rules), insert(db, coll)), Err(Error::MapCollision { .. }))
    };
    assert!(collides(&["a.b=c.d"], "c", "d"), "c.d keeps its name");
    assert!(!collides(&["a.b=c.d"], "c", "e"));
    assert!(!collides(&["a.b=c.d"], "a", "b"));
    assert!(!collides(&["a.b=c.d", "c.d=a.b"], "c", "d"), "the two change places");
    assert!(collides(&["a=c"], "c", "x"), "all of a goes to c");
    assert!(!collides(&["a=c", "c=a"], "c", "x"));
    assert!(collides(&["x.y=c.z", "a=c"], "a", "z"), "a.z goes where x.y is put");
    assert!(!collides(&["x.y=c.z", "a=c"], "a", "other"));
}

#[test]
fn dropping_a_database_spares_what_was_mapped_into_it() {
    let drop = |db: &str| rawdoc! {"operationType": "dropDatabase", "ns": {"db": db}};
    let map = map(&["a.b=c.d", "x=y"]);
    assert!(matches!(apply(&map, drop("c")).unwrap(), Mapped::Impossible(_)));
    assert_eq!(apply(&map, drop("a")).unwrap(), Mapped::Unchanged);
    assert_eq!(changed(&map, drop("x")), drop("y"));
}

#[test]
fn a_definition_of_the_base_is_mapped_as_its_creation_is() {
    let map = map(&["shop.orders=test.o", "shop.stock=live.s", "shop=live"]);
    let definition = |db: &str, coll: &str, options| Definition {
        db: db.to_owned(),
        coll: coll.to_owned(),
        kind: "collection".to_owned(),
        options,
        indexes: vec![rawdoc! {"name": "_id_"}],
    };
    let of = |coll, options| map.definition(&definition("shop", coll, options));
    let view = |on: &str| rawdoc! {"viewOn": on, "pipeline": [{"viewOn": on}]};
    let capped = || rawdoc! {"capped": true, "size": 4096};
    assert_eq!(of("orders", capped()).unwrap(), definition("test", "o", capped()));
    assert_eq!(of("all", view("items")).unwrap(), definition("live", "all", view("items")));
    assert_eq!(of("all", view("stock")).unwrap().options.get_str("viewOn").unwrap(), "s");
    let apart = of("all", view("orders")).unwrap_err();
    assert!(matches!(&apart, Error::ViewApart { .. }), "{apart}");
    assert!(apart.to_string().contains("shop.all") && apart.is_usage(), "{apart}");
    let merged = map.definition(&definition("live", "orders", capped())).unwrap_err();
    assert!(matches!(merged, Error::MapCollision { seq: None, .. }), "{merged}");
}
