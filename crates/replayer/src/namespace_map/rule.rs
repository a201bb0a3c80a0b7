//! One rule of a map: `db.collection=db.collection`, or `db=db`.

use std::fmt;
use std::str::FromStr;

use changetape_core::Namespace;

use crate::Error;

/// Databases that belong to the server itself.
const RESERVED: [&str; 3] = ["admin", "config", "local"];

/// What the server allows in no database name. Source: MongoDB manual, "Naming Restrictions".
const NOT_IN_DATABASE: [char; 6] = ['/', '\\', ' ', '"', '$', '\0'];

/// Either both sides name a collection or neither does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    from: Namespace,
    to: Namespace,
}

impl Rule {
    /// Whether it concerns one collection rather than a database.
    pub(super) fn is_collection(&self) -> bool {
        self.from.coll.is_some()
    }

    /// Where the rule takes a namespace; `None` if it does not concern it.
    pub(super) fn target(&self, ns: &Namespace) -> Option<Namespace> {
        if self.is_collection() {
            (self.from == *ns).then(|| self.to.clone())
        } else {
            (self.from.db == ns.db)
                .then(|| Namespace { db: self.to.db.clone(), coll: ns.coll.clone() })
        }
    }

    /// Whether the rule takes something to this name.
    pub(super) fn leads_to(&self, ns: &Namespace) -> bool {
        if self.is_collection() { self.to == *ns } else { self.to.db == ns.db }
    }

    /// Whether it takes a collection of another database into this one.
    pub(super) fn brings_a_collection_into(&self, db: &str) -> bool {
        self.is_collection() && self.to.db == db && self.from.db != db
    }

    /// Refuses what can be seen to go wrong without any tape.
    pub(super) fn check_beside(&self, earlier: &Self) -> Result<(), Error> {
        let refuse = |reason: &str| {
            let reason = format!("{reason} {:?}", earlier.to_string());
            Err(Error::BadMap { rule: self.to_string(), reason })
        };
        if self.from == earlier.from {
            refuse("the same is mapped by")
        } else if self.to == earlier.to {
            refuse("it leads to the same place as")
        } else if earlier.target(&self.from).is_some() {
            refuse("it never applies, because before it comes")
        } else {
            Ok(())
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.from, self.to)
    }
}

impl FromStr for Rule {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let bad = |reason: &str| Error::BadMap { rule: text.to_owned(), reason: reason.to_owned() };
        let (from, to) = text.split_once('=').ok_or_else(|| bad("there is no = in it"))?;
        if to.contains('=') {
            return Err(bad("there is more than one = in it"));
        }
        let side = |name: &str| {
            let mut ns: Namespace = name.parse().map_err(|_| bad("a name is missing"))?;
            if ns.coll.as_deref() == Some("*") {
                ns.coll = None;
            }
            if name.strip_suffix(".*").unwrap_or(name).contains('*') {
                return Err(bad("* stands only for all collections of a database"));
            }
            Ok(ns)
        };
        let (from, to) = (side(from)?, side(to)?);
        if from.coll.is_some() != to.coll.is_some() {
            return Err(bad("one side is a collection and the other a whole database"));
        }
        if RESERVED.contains(&to.db.as_str()) {
            return Err(bad("its target is a database of the server's own"));
        }
        if to.db.contains(NOT_IN_DATABASE) {
            return Err(bad("its target is no name for a database"));
        }
        if to.coll.as_deref().is_some_and(|coll| coll.starts_with("system.") || coll.contains('$'))
        {
            return Err(bad("its target is no name for a collection"));
        }
        Ok(Self { from, to })
    }
}
