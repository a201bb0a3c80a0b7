//! `Expiries`: what a replay keeps from expiring while it lasts, and what becomes of that.
//!
//! A server deletes documents by its own clock where a TTL index, or a clustered collection, tells
//! it to. A tape has the source's deletions, and needs its documents until then. So a sink that is a
//! database holds expiries back, and puts them right when the replay is over.

use std::fmt;

use bson::doc;
use changetape_core::Namespace;

/// When the documents of a collection expire.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Expiry {
    /// The collection.
    pub namespace: Namespace,
    /// The TTL index; `None` if the collection itself, a clustered one, tells it.
    pub index: Option<String>,
    /// `expireAfterSeconds`.
    pub seconds: i64,
}

/// An expiry that could not be put right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftHeld {
    /// What should be there.
    pub expiry: Expiry,
    /// What stood in the way.
    pub reason: String,
}

/// What became of the expiries that a replay held back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expiries {
    /// How many are as they should be.
    pub put_right: u64,
    /// How many are held back until a replay that goes on with `--resume` comes to its end.
    pub held: u64,
    /// Those that could not be put right.
    pub left: Vec<LeftHeld>,
}

/// Whether a replay has come to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completion {
    /// All that was to be played is.
    Whole,
    /// It was stopped, or something failed.
    Part,
}

impl Expiry {
    /// What puts it right, for a MongoDB shell.
    #[must_use]
    pub fn remedy(&self) -> String {
        let Namespace { db, coll } = &self.namespace;
        let mut command = doc! {"collMod": coll.clone().unwrap_or_default()};
        match &self.index {
            Some(name) => {
                let index = doc! {"name": name.clone(), "expireAfterSeconds": self.seconds};
                command.insert("index", index);
            }
            None => drop(command.insert("expireAfterSeconds", self.seconds)),
        }
        format!("db.getSiblingDB({db:?}).runCommand({command})")
    }
}

impl fmt::Display for Expiry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.index {
            Some(name) => write!(f, "the TTL index {name} of {}", self.namespace),
            None => write!(f, "the expiry of the clustered collection {}", self.namespace),
        }
    }
}

impl Expiries {
    /// What is to be told, a sentence each.
    #[must_use]
    pub fn sentences(&self) -> Vec<String> {
        let expiries = |count| match count {
            1 => "1 expiry (of a TTL index or a clustered collection)".to_owned(),
            count => format!("{count} expiries (of TTL indexes or clustered collections)"),
        };
        let mut sentences = Vec::new();
        if self.put_right > 0 {
            let them = if self.put_right == 1 { "it" } else { "them" };
            sentences.push(format!(
                "kept {} from firing, and put {them} right at the end",
                expiries(self.put_right)
            ));
        }
        if self.held > 0 {
            sentences.push(format!(
                "{} will not fire until a replay with --resume comes to the end",
                expiries(self.held)
            ));
        }
        sentences.extend(self.left.iter().map(|LeftHeld { expiry, reason }| {
            format!("{expiry} does not fire yet: {reason}; put it right with {}", expiry.remedy())
        }));
        sentences
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expiry(index: Option<&str>) -> Expiry {
        let namespace = Namespace::collection("shop", "carts");
        Expiry { namespace, index: index.map(str::to_owned), seconds: 3600 }
    }

    #[test]
    fn a_sentence_says_what_is_so_and_what_to_do() {
        let right = Expiries { put_right: 2, ..Expiries::default() };
        let says = "kept 2 expiries (of TTL indexes or clustered collections) from firing, and put \
                    them right at the end";
        assert_eq!(right.sentences(), [says]);
        let held = Expiries { held: 1, ..Expiries::default() };
        let says = "1 expiry (of a TTL index or a clustered collection) will not fire until a replay \
                    with --resume comes to the end";
        assert_eq!(held.sentences(), [says]);
        let reason = "no".to_owned();
        let left = vec![LeftHeld { expiry: expiry(Some("at_1")), reason }];
        let left = Expiries { left, ..Expiries::default() };
        let says = "the TTL index at_1 of shop.carts does not fire yet: no; put it right with \
                    db.getSiblingDB(\"shop\").runCommand({ \"collMod\": \"carts\", \"index\": \
                    { \"name\": \"at_1\", \"expireAfterSeconds\": 3600 } })";
        assert_eq!(left.sentences(), [says]);
        assert!(Expiries::default().sentences().is_empty());
    }

    #[test]
    fn a_clustered_collection_expires_by_itself() {
        let expiry = expiry(None);
        assert_eq!(expiry.to_string(), "the expiry of the clustered collection shop.carts");
        let says = "db.getSiblingDB(\"shop\").runCommand({ \"collMod\": \"carts\", \"expireAfterSeconds\": 3600 })";
        assert_eq!(expiry.remedy(), says);
    }
}
