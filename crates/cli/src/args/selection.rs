//! The flags that say which events take part; the same for every command.

use changetape_core::{NamespaceFilter, NamespacePattern, OperationType};
use clap::Args;

use super::parse;

/// Which namespaces take part.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Selection")]
pub(crate) struct FilterArgs {
    /// Only these namespaces: db, db.coll or a glob (shop.*, *.orders); repeatable
    #[arg(long, value_name = "NS", value_delimiter = ',', env = "CHANGETAPE_INCLUDE")]
    include: Vec<NamespacePattern>,
    /// Not these namespaces; wins over --include; repeatable
    #[arg(long, value_name = "NS", value_delimiter = ',', env = "CHANGETAPE_EXCLUDE")]
    exclude: Vec<NamespacePattern>,
}

/// Which namespaces and operations take part.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Selection")]
pub(crate) struct NamespaceArgs {
    #[command(flatten)]
    namespaces: FilterArgs,
    /// Only these operation types, by MongoDB's names: insert,update,replace,delete,…
    #[arg(
        long = "op",
        value_name = "KIND",
        value_delimiter = ',',
        value_parser = parse::operation,
        env = "CHANGETAPE_OP"
    )]
    pub(crate) operations: Vec<OperationType>,
}

impl FilterArgs {
    pub(crate) fn filter(&self) -> NamespaceFilter {
        NamespaceFilter { include: self.include.clone(), exclude: self.exclude.clone() }
    }
}

impl NamespaceArgs {
    pub(crate) fn filter(&self) -> NamespaceFilter {
        self.namespaces.filter()
    }
}
