//! The tape from outside: what is appended is there, whatever happens to the process, and
//! what happened to the disk is noticed.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test says what it expects; a panic is how it fails"
)]

mod append_and_scan;
mod bad_paths;
mod damage;
mod damaged_tail;
mod durability;
mod gaps;
mod image;
mod killed_writer;
mod live;
mod not_read;
mod overtaken;
mod samples;
mod seek_by_time;
mod selection;
mod torn_gap;
