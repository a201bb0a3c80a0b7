//! `Summary`: what is on a tape, counted.

use std::collections::BTreeMap;

use changetape_core::{Arrival, ClusterTime, Namespace, OperationType, WallTime};

use crate::Checkpoint;

/// What is on a tape, counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// How many events.
    pub events: u64,
    /// How many blocks they are in.
    pub blocks: u64,
    /// The events' BSON in bytes, uncompressed.
    pub raw_bytes: u64,
    /// What the tape takes on disk, in bytes.
    pub disk_bytes: u64,
    /// The earliest and latest `wallTime`; `None` if no event has one.
    pub wall_times: Option<(WallTime, WallTime)>,
    /// The earliest and latest `clusterTime`; `None` if no event has one.
    pub cluster_times: Option<(ClusterTime, ClusterTime)>,
    /// The first and last batch's arrival; `None` if there is no event.
    pub arrivals: Option<(Arrival, Arrival)>,
    /// Events by namespace, the first [`Summary::MAX_NAMESPACES`] distinct ones.
    pub namespaces: BTreeMap<Namespace, u64>,
    /// Events of namespaces beyond those.
    pub other_namespaces: u64,
    /// Events without a namespace (`invalidate`).
    pub without_namespace: u64,
    /// Events by operation type.
    pub operations: BTreeMap<OperationType, u64>,
    /// Where the recording would continue.
    pub checkpoint: Option<Checkpoint>,
}

impl Summary {
    /// How many namespaces are counted one by one: memory stays bounded whatever is on
    /// the tape, and nobody reads a longer list.
    pub const MAX_NAMESPACES: usize = 10_000;
}
