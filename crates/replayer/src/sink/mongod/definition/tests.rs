//! Goal: the command that each event becomes. What servers make of it is tested with one.

use bson::doc;

use super::*;

fn event(operation: &str, more: Document) -> ChangeEvent<'static> {
    let mut event = doc! {"operationType": operation, "ns": {"db": "shop", "coll": "a"}};
    event.extend(more);
    ChangeEvent::from(RawDocumentBuf::try_from(&event).unwrap())
}

fn planned(operation: &str, more: Document) -> Result<Plan, Error> {
    let event = event(operation, more);
    let (operation, ns) = (event.operation_type().unwrap(), event.namespace().unwrap().unwrap());
    plan(&event, &operation, &ns, Quorum::Majority)
}

/// The only command: its database and itself, without the write concern.
fn command(operation: &str, more: Document) -> (String, Document, Check) {
    let Ok(Plan::Commands(mut commands)) = planned(operation, more) else { panic!("no command") };
    let definition = commands.pop().unwrap();
    assert!(commands.is_empty());
    let mut command = Document::try_from(definition.command).unwrap();
    assert!(command.remove("writeConcern").is_some());
    (definition.db, command, definition.check)
}

#[test]
fn a_collection_is_created_with_its_options() {
    let (db, command, check) = command(
        "create",
        doc! {"operationDescription": {
            "capped": true, "size": 4096, "temp": true, "collation": {"locale": "fr"},
            "idIndex": {"v": 2, "key": {"_id": 1}, "name": "_id_"},
        }},
    );
    assert_eq!(db, "shop");
    assert_eq!(
        command,
        doc! {
            "create": "a", "capped": true, "size": 4096, "collation": {"locale": "fr"},
            "idIndex": {"v": 2, "key": {"_id": 1}, "name": "_id_"},
        }
    );
    let options = doc! {"capped": true, "size": 4096, "collation": {"locale": "fr"}};
    assert_eq!(check, Check::MayExist(options));
}

#[test]
fn indexes_are_created_and_dropped_by_name() {
    let indexes = doc! {"operationDescription": {"indexes": [
        {"v": 2, "key": {"b": 1, "a": -1}, "name": "b_a", "ns": "shop.a"},
    ]}};
    let (_, created, check) = command("createIndexes", indexes.clone());
    assert!(matches!(check, Check::MayDiffer(drops) if drops.len() == 1));
    let index = doc! {"v": 2, "key": {"b": 1, "a": -1}, "name": "b_a"};
    let expected = doc! {"createIndexes": "a", "indexes": [index], "commitQuorum": "majority"};
    assert_eq!(created, expected);
    let (_, dropped, check) = command("dropIndexes", indexes);
    assert_eq!(dropped, doc! {"dropIndexes": "a", "index": "b_a"});
    assert_eq!(check, Check::MayBeGone);
}

#[test]
fn a_change_of_options_is_passed_on() {
    let description = doc! {"index": {"name": "b", "hidden": true}, "validationLevel": "off"};
    let (_, modified, check) = command("modify", doc! {"operationDescription": description});
    let expected =
        doc! {"collMod": "a", "index": {"name": "b", "hidden": true}, "validationLevel": "off"};
    assert_eq!(modified, expected);
    assert_eq!(check, Check::MustBeThere);
}

#[test]
fn a_rename_drops_its_target_also_when_nothing_says_so() {
    let (db, command, check) = command("rename", doc! {"to": {"db": "shop", "coll": "b"}});
    assert_eq!(db, "admin");
    assert_eq!(command, doc! {"renameCollection": "shop.a", "to": "shop.b", "dropTarget": true});
    assert_eq!(check, Check::MayHaveMoved(Namespace::collection("shop", "b")));
}

#[test]
fn a_conversion_is_recognised_by_its_temporary_name() {
    let to = Namespace::collection("shop", "a");
    for (name, converts) in [("tmpXyZ12.convertToCapped.a", true), ("convertToCapped.a", false)] {
        let names = doc! {"ns": {"db": "shop", "coll": name}, "to": {"db": "shop", "coll": "a"}};
        let (_, _, check) = command("rename", names);
        assert_eq!(check == Check::Converts(to.clone()), converts, "{name}");
    }
}

#[test]
fn drops_may_find_nothing() {
    let (_, dropped, check) = command("drop", doc! {});
    assert_eq!((dropped, check), (doc! {"drop": "a"}, Check::MayBeGone));
    let (db, dropped, _) = command("dropDatabase", doc! {"ns": {"db": "shop"}});
    assert_eq!((db.as_str(), dropped), ("shop", doc! {"dropDatabase": 1}));
}

#[test]
fn what_cannot_be_replayed_is_skipped_with_a_reason() {
    let bucket = doc! {"viewOn": "system.buckets.a", "pipeline": []};
    for (operation, more, reason) in [
        ("create", doc! {"operationDescription": bucket}, "time-series"),
        (
            "create",
            doc! {"operationDescription": {"timeseries": {"timeField": "t"}}},
            "time-series",
        ),
        ("shardCollection", doc! {}, "sharded"),
        ("refineCollectionShardKey", doc! {}, "sharded"),
        ("reshardCollection", doc! {}, "sharded"),
        ("aNewOne", doc! {}, "aNewOne events are not known"),
    ] {
        match planned(operation, more) {
            Ok(Plan::Skip(text)) => assert!(text.contains(reason), "{operation}: {text}"),
            _ => panic!("{operation} is not skipped"),
        }
    }
}

#[test]
fn an_event_that_lacks_what_it_needs_is_refused() {
    for (operation, more) in [
        ("create", doc! {}),
        ("createIndexes", doc! {"operationDescription": {}}),
        ("dropIndexes", doc! {"operationDescription": {"indexes": [{"key": {"a": 1}}]}}),
        ("modify", doc! {}),
        ("rename", doc! {}),
    ] {
        assert!(planned(operation, more).is_err(), "{operation}");
    }
}
