//! Collections and views as the server lists them now, with their options and indexes.

use bson::raw::RawDocumentBuf;
use bson::{Document, doc};
use changetape_core::{Namespace, NamespaceFilter};
use changetape_deployment::Deployment;
use changetape_tape::Definition;
use futures_util::TryStreamExt as _;
use mongodb::Database;

use super::failure::Failed;
use crate::{Error, Progress};

/// The server's own databases: streams show nothing of them either.
const NOT_USERS: [&str; 3] = ["admin", "config", "local"];

/// How the server's own collections in a user's database are named.
const NOT_USERS_COLLECTION: &str = "system.";

/// What `listCollections` calls them.
pub(super) const COLLECTION: &str = "collection";
const VIEW: &str = "view";

/// How many namespaces a message names.
const NAMED: usize = 5;

/// What there is of the namespaces that take part, in their order.
pub(super) struct Listing(Vec<Listed>);

#[derive(Debug, Clone, PartialEq)]
struct Listed {
    definition: Definition,
    /// Tells a collection from another that came to have its name; views have none.
    uuid: Vec<u8>,
}

impl Listing {
    /// Asks the primary: another node may not know yet what the time to read at knows.
    pub(super) async fn take(
        deployment: &Deployment,
        filter: &NamespaceFilter,
        progress: &Progress,
    ) -> Result<Self, Failed> {
        let failed = |error| Failed::of(deployment, error, "list its databases");
        let databases = deployment.client().list_database_names();
        let databases = deployment.answer(databases).await.map_err(failed)?;
        let mut listed = Vec::new();
        for db in databases.iter().filter(|db| !NOT_USERS.contains(&db.as_str())) {
            let database = deployment.client().database(db);
            let doing = format!("list the collections of {db}");
            let collections = doc! {"listCollections": 1};
            for found in documents(deployment, &database, collections, &doing).await? {
                progress.base_moves();
                let Some(mut found) = Listed::of(db, &found) else {
                    return Err(Error::BadReply { missing: "a collection's name or type" }.into());
                };
                let Definition { coll, kind, .. } = &found.definition;
                let takes_part = !coll.starts_with(NOT_USERS_COLLECTION)
                    && filter.matches(&Namespace::collection(db.as_str(), coll.as_str()));
                if takes_part && kind == COLLECTION {
                    let doing = format!("list the indexes of {db}.{coll}");
                    // The server shows an index that is being built, too. It is none yet: the
                    // stream says when it is there.
                    let indexes = doc! {"listIndexes": coll, "includeBuildUUIDs": true};
                    let indexes = documents(deployment, &database, indexes, &doing).await?;
                    let built = |index: &RawDocumentBuf| matches!(index.get("buildUUID"), Ok(None));
                    found.definition.indexes = indexes.into_iter().filter(built).collect();
                }
                listed.extend(takes_part.then_some(found));
            }
        }
        listed.sort_by_key(|listed| listed.definition.namespace());
        Ok(Self(listed))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn definitions(&self) -> impl Iterator<Item = &Definition> {
        self.0.iter().map(|listed| &listed.definition)
    }

    /// What there are documents of.
    pub(super) fn collections(&self) -> impl Iterator<Item = &Definition> {
        self.definitions().filter(|definition| definition.kind == COLLECTION)
    }

    /// Refuses what cannot be read at a time, or of which streams tell nothing.
    pub(super) fn refuse_unreadable(&self, hosts: &str) -> Result<(), Error> {
        let unreadable = self.definitions().filter_map(|definition| {
            Some((definition.namespace().to_string(), obstacle(definition)?))
        });
        let unreadable: Vec<(String, &str)> = unreadable.collect();
        if unreadable.is_empty() {
            return Ok(());
        }
        let shown = unreadable.iter().take(NAMED);
        let mut what: Vec<String> = shown
            .clone()
            .map(|(namespace, obstacle)| format!("{namespace} ({obstacle})"))
            .collect();
        let mut names: Vec<&str> = shown.map(|(namespace, _)| namespace.as_str()).collect();
        if unreadable.len() > NAMED {
            what.push(format!("{} more", unreadable.len() - NAMED));
            names.push("…");
        }
        let (what, exclude) = (what.join(", "), names.join(","));
        Err(Error::NotInBase { hosts: hosts.to_owned(), what, exclude })
    }

    /// A namespace that is not the same in another listing; `None` if all are.
    pub(super) fn difference(&self, other: &Self) -> Option<Namespace> {
        // Both are sorted: where they first differ, one has what the other has not or has otherwise.
        let same = self.0.iter().zip(&other.0).take_while(|(was, is)| was == is).count();
        let differing = [self.0.get(same), other.0.get(same)].into_iter().flatten();
        differing.map(|listed| listed.definition.namespace()).min()
    }
}

impl Listed {
    /// What `listCollections` says of one.
    fn of(db: &str, found: &RawDocumentBuf) -> Option<Self> {
        let text = |name: &str| found.get_str(name).ok().map(ToOwned::to_owned);
        let uuid = found.get_document("info").ok().and_then(|info| info.get_binary("uuid").ok());
        let definition = Definition {
            db: db.to_owned(),
            coll: text("name")?,
            kind: text("type")?,
            options: found.get_document("options").ok()?.to_owned(),
            indexes: Vec::new(),
        };
        Some(Self { definition, uuid: uuid.map(|uuid| uuid.bytes.to_vec()).unwrap_or_default() })
    }
}

/// Why a collection cannot be part of a base, if so.
fn obstacle(definition: &Definition) -> Option<&'static str> {
    if definition.options.get_bool("capped").unwrap_or(false) {
        // SnapshotUnavailable (246) on 6.0.5: "not supported".
        Some("capped: the server gives no snapshot of it")
    } else if ![COLLECTION, VIEW].contains(&definition.kind.as_str()) {
        // Time series. They can be read at a time, but the documents that follow are no events.
        Some("a time series: change streams say nothing of it")
    } else {
        None
    }
}

/// What a command lists on the primary.
async fn documents(
    deployment: &Deployment,
    database: &Database,
    command: Document,
    doing: &str,
) -> Result<Vec<RawDocumentBuf>, Failed> {
    let failed = |error| Failed::of(deployment, error, doing);
    let cursor = deployment.answer(database.run_cursor_command(command)).await.map_err(failed)?;
    let (mut cursor, mut listed) = (cursor.with_type(), Vec::new());
    while let Some(document) = deployment.answer(cursor.try_next()).await.map_err(failed)? {
        listed.push(document);
    }
    Ok(listed)
}

#[cfg(test)]
mod tests {
    use bson::rawdoc;

    use super::*;

    fn listed(coll: &str, options: RawDocumentBuf) -> Listed {
        let found = rawdoc! {"name": coll, "type": "collection", "options": options, "info": {
            "uuid": bson::Binary { subtype: bson::spec::BinarySubtype::Uuid, bytes: vec![7; 16] },
        }};
        Listed::of("shop", &found).unwrap()
    }

    #[test]
    fn whatever_differs_between_two_listings_is_found() {
        let orders = listed("orders", rawdoc! {});
        let stock = listed("stock", rawdoc! {"validationLevel": "strict"});
        let listing = || Listing(vec![orders.clone(), stock.clone()]);
        assert_eq!(listing().difference(&listing()), None);
        let mut other_uuid = orders.clone();
        other_uuid.uuid[3] = 8;
        let mut another_index = orders.clone();
        another_index.definition.indexes.push(rawdoc! {"name": "a_1"});
        let other_options = listed("orders", rawdoc! {"validationLevel": "off"});
        for changed in [other_uuid, another_index, other_options] {
            let now = Listing(vec![changed, stock.clone()]);
            assert_eq!(listing().difference(&now).unwrap().to_string(), "shop.orders");
        }
        let more = Listing(vec![orders.clone(), stock.clone(), listed("visits", rawdoc! {})]);
        assert_eq!(listing().difference(&more).unwrap().to_string(), "shop.visits");
        let fewer = Listing(vec![orders.clone()]);
        assert_eq!(listing().difference(&fewer).unwrap().to_string(), "shop.stock");
    }

    #[test]
    fn what_cannot_be_in_a_base_is_named_with_what_to_do() {
        let capped = |coll: &str| listed(coll, rawdoc! {"capped": true, "size": 4096});
        let mut series = listed("weather", rawdoc! {});
        series.definition.kind = "timeseries".into();
        let sound = listed("orders", rawdoc! {"capped": false});
        assert!(Listing(vec![sound.clone()]).refuse_unreadable("db1").is_ok());
        let refused = Listing(vec![sound, capped("visits"), series]).refuse_unreadable("db1");
        let error = refused.unwrap_err().to_string();
        assert!(error.contains("shop.visits (capped"), "{error}");
        assert!(error.contains("shop.weather (a time series"), "{error}");
        assert!(error.contains("--exclude shop.visits,shop.weather"), "{error}");
        let many = Listing((0..9).map(|n| capped(&n.to_string())).collect());
        let error = many.refuse_unreadable("db1").unwrap_err().to_string();
        assert!(error.contains("4 more") && !error.contains("shop.5"), "{error}");
    }
}
