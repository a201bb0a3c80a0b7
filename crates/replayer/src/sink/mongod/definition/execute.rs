//! Running the command of a definition, and what it means when the server refuses.

use bson::raw::RawDocumentBuf;
use bson::{Document, rawdoc};
use changetape_core::Namespace;

use super::{Check, Definition};
use crate::Stop;
use crate::sink::mongod::reply::whole;
use crate::sink::mongod::target::{Target, Trouble, majority};

/// `NamespaceNotFound`.
const NAMESPACE_NOT_FOUND: i32 = 26;
/// `IndexNotFound`.
const INDEX_NOT_FOUND: i32 = 27;
/// `NamespaceExists`.
const NAMESPACE_EXISTS: i32 = 48;
/// `IndexOptionsConflict`.
const INDEX_OPTIONS_CONFLICT: i32 = 85;
/// `IndexKeySpecsConflict`.
const INDEX_KEY_SPECS_CONFLICT: i32 = 86;

/// In which state a command found its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sink::mongod) enum Found {
    AsExpected,
    AlreadySo,
    Divergent(&'static str),
}

/// Runs a command and says what it found.
pub(in crate::sink::mongod) fn execute(
    target: &mut Target,
    definition: &Definition,
    ns: &Namespace,
    stop: &Stop,
) -> Result<Found, Trouble> {
    if let Check::Converts(to) = &definition.check {
        return convert(target, definition, ns, to, stop);
    }
    let refusal = match target.define(&definition.db, &definition.command, stop) {
        Ok(_) => return Ok(Found::AsExpected),
        Err(Trouble::Refused(refusal)) => refusal,
        Err(trouble) => return Err(trouble),
    };
    Ok(match (&definition.check, refusal.code) {
        (Check::MayBeGone, NAMESPACE_NOT_FOUND | INDEX_NOT_FOUND) => Found::AlreadySo,
        (Check::MustBeThere, NAMESPACE_NOT_FOUND) => Found::Divergent("no such collection"),
        (Check::MustBeThere, INDEX_NOT_FOUND) => Found::Divergent("no such index"),
        (Check::MayHaveMoved(to), NAMESPACE_NOT_FOUND) => match target.collection(to, stop)? {
            Some(_) => Found::AlreadySo,
            None => Found::Divergent("no such collection to rename"),
        },
        (Check::MayExist(options), NAMESPACE_EXISTS) => {
            let there = target.collection(ns, stop)?;
            let same = |there: &Document| there.get_document("options").is_ok_and(|o| o == options);
            if there.as_ref().is_some_and(same) {
                Found::AlreadySo
            } else {
                Found::Divergent("a collection with other options")
            }
        }
        (Check::MayDiffer(drops), INDEX_OPTIONS_CONFLICT | INDEX_KEY_SPECS_CONFLICT) => {
            for drop in drops {
                execute(target, drop, ns, stop)?;
            }
            target.define(&definition.db, &definition.command, stop)?;
            Found::AlreadySo
        }
        _ => return Err(Trouble::Refused(refusal)),
    })
}

/// Converts `to` as the source did, and drops the empty copy `ns` that stands for it here.
/// Where there is nothing to convert, the copy takes its place, as the event says.
fn convert(
    target: &mut Target,
    rename: &Definition,
    ns: &Namespace,
    to: &Namespace,
    stop: &Stop,
) -> Result<Found, Trouble> {
    let Some(copy) = target.collection(ns, stop)? else {
        let found = if target.collection(to, stop)?.is_some() {
            Found::AlreadySo
        } else {
            Found::Divergent("no such collection to convert")
        };
        return Ok(found);
    };
    if target.collection(to, stop)?.is_none() {
        target.define(&rename.db, &rename.command, stop)?;
        return Ok(Found::Divergent("no such collection to convert"));
    }
    let size = copy.get_document("options").ok().and_then(|options| whole(options.get("size")?));
    let name = |ns: &Namespace| ns.coll.clone().unwrap_or_default();
    let convert: RawDocumentBuf = rawdoc! {"convertToCapped": name(to), "size": size.unwrap_or(0), "writeConcern": majority()};
    target.define(&to.db, &convert, stop)?;
    let drop = rawdoc! {"drop": name(ns), "writeConcern": majority()};
    target.define(&ns.db, &drop, stop)?;
    Ok(Found::AsExpected)
}
