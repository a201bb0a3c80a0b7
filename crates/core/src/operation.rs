//! `OperationType`: what a change event says happened.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

macro_rules! operation_types {
    ($($variant:ident $name:literal $doc:literal,)*) => {
        /// The `operationType` of a change event.
        ///
        /// Types that this version does not know survive as [`Other`](Self::Other).
        /// Source: MongoDB manual, "Change Events".
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum OperationType {
            $(#[doc = $doc] $variant,)*
            /// A type of a newer server.
            Other(Box<str>),
        }

        impl OperationType {
            /// Every type that this version knows, in the manual's order.
            pub const KNOWN: &[Self] = &[$(Self::$variant,)*];

            /// The server's name for it, as in `operationType`.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $name,)*
                    Self::Other(name) => name,
                }
            }
        }

        impl From<&str> for OperationType {
            fn from(name: &str) -> Self {
                match name {
                    $($name => Self::$variant,)*
                    other => Self::Other(other.into()),
                }
            }
        }
    };
}

operation_types! {
    Insert "insert" "A document was inserted.",
    Update "update" "Some fields of a document were changed.",
    Replace "replace" "A document was replaced whole.",
    Delete "delete" "A document was deleted.",
    Create "create" "A collection or view was created.",
    CreateIndexes "createIndexes" "Indexes were created.",
    DropIndexes "dropIndexes" "Indexes were dropped.",
    Modify "modify" "A collection's options were changed (`collMod`).",
    Rename "rename" "A collection was renamed.",
    Drop "drop" "A collection was dropped.",
    DropDatabase "dropDatabase" "A database was dropped.",
    ShardCollection "shardCollection" "A collection was sharded.",
    RefineCollectionShardKey "refineCollectionShardKey" "A shard key was refined.",
    ReshardCollection "reshardCollection" "A collection was sharded anew.",
    Invalidate "invalidate" "The stream ended: what it watched is gone.",
}

impl OperationType {
    /// Whether one document changed: insert, update, replace or delete.
    #[must_use]
    pub fn is_document_change(&self) -> bool {
        matches!(self, Self::Insert | Self::Update | Self::Replace | Self::Delete)
    }

    /// Whether a plain `watch()` hides it, delivering it only with `showExpandedEvents`.
    #[must_use]
    pub fn is_expanded(&self) -> bool {
        !matches!(
            self,
            Self::Insert
                | Self::Update
                | Self::Replace
                | Self::Delete
                | Self::Rename
                | Self::Drop
                | Self::DropDatabase
                | Self::Invalidate
        )
    }
}

impl FromStr for OperationType {
    type Err = Infallible;

    fn from_str(name: &str) -> Result<Self, Infallible> {
        Ok(name.into())
    }
}

impl fmt::Display for OperationType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_both_ways() {
        for known in OperationType::KNOWN {
            assert_eq!(&OperationType::from(known.as_str()), known);
        }
        let other = OperationType::from("endOfTransaction");
        assert_eq!(other, OperationType::Other("endOfTransaction".into()));
        assert_eq!(other.to_string(), "endOfTransaction");
    }
}
