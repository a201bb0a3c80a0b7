//! `Namespace`: which database and collection an event belongs to, and patterns over them.

use std::fmt;
use std::str::FromStr;

use crate::Error;

/// A database, or a collection in one.
///
/// A collection's name may contain dots, a database's may not: `shop.orders.2026` is the
/// collection `orders.2026` of `shop`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Namespace {
    /// The database.
    pub db: String,
    /// The collection; `None` for the whole database, as in a `dropDatabase` event.
    pub coll: Option<String>,
}

impl Namespace {
    /// A collection.
    #[must_use]
    pub fn collection(db: impl Into<String>, coll: impl Into<String>) -> Self {
        Self { db: db.into(), coll: Some(coll.into()) }
    }

    /// A whole database.
    #[must_use]
    pub fn database(db: impl Into<String>) -> Self {
        Self { db: db.into(), coll: None }
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.coll {
            Some(coll) => write!(f, "{}.{coll}", self.db),
            None => f.write_str(&self.db),
        }
    }
}

impl FromStr for Namespace {
    type Err = Error;

    /// `db` or `db.collection`, split at the first dot.
    fn from_str(s: &str) -> Result<Self, Error> {
        let bad = || Error::BadPattern { input: s.to_owned() };
        match s.split_once('.') {
            None if s.is_empty() => Err(bad()),
            None => Ok(Self::database(s)),
            Some((db, coll)) if db.is_empty() || coll.is_empty() => Err(bad()),
            Some((db, coll)) => Ok(Self::collection(db, coll)),
        }
    }
}

/// Namespaces by name or glob: `db`, `db.coll`, `shop.*`, `*.orders`, `shop_*`.
///
/// `*` stands for any run of characters, dots included; nothing else is special. A pattern
/// without a dot, or whose collection part is `*`, covers whole databases, and so also the
/// events of a database itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamespacePattern {
    db: String,
    coll: Option<String>,
}

impl NamespacePattern {
    /// A whole database: `db.*`.
    pub fn database(db: impl Into<String>) -> Self {
        Self { db: db.into(), coll: None }
    }

    /// Whether the pattern covers a namespace.
    #[must_use]
    pub fn matches(&self, ns: &Namespace) -> bool {
        self.matches_parts(&ns.db, ns.coll.as_deref())
    }

    /// [`matches`](Self::matches) without the need to own a [`Namespace`].
    #[must_use]
    pub fn matches_parts(&self, db: &str, coll: Option<&str>) -> bool {
        glob_matches(&self.db, db)
            && match (&self.coll, coll) {
                (None, _) => true,
                (Some(_), None) => false,
                (Some(pattern), Some(coll)) => glob_matches(pattern, coll),
            }
    }

    /// The glob over databases.
    #[must_use]
    pub fn db(&self) -> &str {
        &self.db
    }

    /// The glob over collections; `None` covers the whole database.
    #[must_use]
    pub fn coll(&self) -> Option<&str> {
        self.coll.as_deref()
    }
}

/// The anchored regular expression (PCRE, as `$regex` takes it) that means the same as a glob.
#[must_use]
pub fn glob_to_regex(glob: &str) -> String {
    let mut regex = String::with_capacity(glob.len() + 8);
    // `(?s)`: a name may contain a line break, which `.` would not match otherwise.
    regex.push_str("(?s)\\A");
    for c in glob.chars() {
        match c {
            '*' => regex.push_str(".*"),
            c if c.is_ascii_punctuation() && c != '_' => regex.extend(['\\', c]),
            c => regex.push(c),
        }
    }
    regex.push_str("\\z");
    regex
}

fn glob_matches(glob: &str, text: &str) -> bool {
    let mut parts = glob.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let Some(last) = parts.next_back() else {
        return rest.is_empty();
    };
    // The leftmost match of each middle part leaves the most text for the ones after it.
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

impl FromStr for NamespacePattern {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self, Error> {
        let ns: Namespace = s.parse()?;
        Ok(Self { db: ns.db, coll: ns.coll.filter(|coll| coll != "*") })
    }
}

impl fmt::Display for NamespacePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.db, self.coll.as_deref().unwrap_or("*"))
    }
}

/// Which namespaces take part: all, or those included; less those excluded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NamespaceFilter {
    /// Empty means every namespace.
    pub include: Vec<NamespacePattern>,
    /// Wins over `include`.
    pub exclude: Vec<NamespacePattern>,
}

impl NamespaceFilter {
    /// Whether it lets everything through.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.include.is_empty() && self.exclude.is_empty()
    }

    /// Whether a namespace takes part.
    #[must_use]
    pub fn matches(&self, ns: &Namespace) -> bool {
        (self.include.is_empty() || self.include.iter().any(|p| p.matches(ns)))
            && !self.exclude.iter().any(|p| p.matches(ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(pattern: &str, ns: &str) -> bool {
        pattern.parse::<NamespacePattern>().unwrap().matches(&ns.parse().unwrap())
    }

    #[test]
    fn patterns_cover_what_they_say() {
        for (pattern, ns, expected) in [
            ("shop", "shop.orders", true),
            ("shop", "shop", true),
            ("shop", "shop2.orders", false),
            ("shop.*", "shop", true),
            ("shop.orders", "shop.orders", true),
            ("shop.orders", "shop.orders2", false),
            ("shop.orders", "shop", false),
            ("*.orders", "shop.orders", true),
            ("*.orders", "shop.old.orders", false),
            ("*.*orders", "shop.old.orders", true),
            ("shop.a*b*c", "shop.abc", true),
            ("shop.a*b*c", "shop.a.b.b.c", true),
            ("shop.a*b*c", "shop.acb", false),
            ("shop.a*a", "shop.a", false),
            ("s*p", "shop.x", true),
        ] {
            assert_eq!(covers(pattern, ns), expected, "{pattern} over {ns}");
        }
    }

    #[test]
    fn a_collection_keeps_its_dots() {
        let ns: Namespace = "shop.orders.2026".parse().unwrap();
        assert_eq!(ns, Namespace::collection("shop", "orders.2026"));
        assert_eq!(ns.to_string(), "shop.orders.2026");
        for bad in ["", ".", ".x", "x."] {
            assert!(bad.parse::<Namespace>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn globs_become_anchored_regexes() {
        assert_eq!(glob_to_regex("a.b*[c]"), r"(?s)\Aa\.b.*\[c\]\z");
    }

    #[test]
    fn exclusion_wins() {
        let filter = NamespaceFilter {
            include: vec!["shop.*".parse().unwrap()],
            exclude: vec!["shop.tmp*".parse().unwrap()],
        };
        assert!(filter.matches(&"shop.orders".parse().unwrap()));
        assert!(!filter.matches(&"shop.tmp1".parse().unwrap()));
        assert!(!filter.matches(&"other.orders".parse().unwrap()));
        assert!(NamespaceFilter::default().matches(&"any.thing".parse().unwrap()));
    }
}
