//! How events are applied to a database, as flags say it.

use changetape_replayer::sink::mongod::{Order, Transactions};
use clap::ValueEnum;

/// See [`Order`].
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub(super) enum OrderArg {
    #[default]
    Document,
    Namespace,
    Global,
}

impl From<OrderArg> for Order {
    fn from(order: OrderArg) -> Self {
        match order {
            OrderArg::Document => Self::Document,
            OrderArg::Namespace => Self::Namespace,
            OrderArg::Global => Self::Global,
        }
    }
}

/// See [`Transactions`].
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub(super) enum TransactionsArg {
    #[default]
    Atomic,
    Grouped,
    Off,
}

impl From<TransactionsArg> for Transactions {
    fn from(transactions: TransactionsArg) -> Self {
        match transactions {
            TransactionsArg::Atomic => Self::Atomic,
            TransactionsArg::Grouped => Self::Grouped,
            TransactionsArg::Off => Self::Off,
        }
    }
}

/// See [`OnError`](changetape_replayer::sink::mongod::OnError).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnErrorArg {
    /// End there
    #[default]
    Stop,
    /// Leave it out; it is counted, and listed at the end
    Skip,
    /// Ask on the terminal
    Ask,
}
