//! Black-box tests against real MongoDB deployments; each module opens with its goal and
//! its method.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test says what it expects, and a panic is how it fails; helpers included"
)]

mod at_terminal;
mod bad_input;
mod base;
mod by_hand;
mod consumers;
mod diff_against_server;
mod expiring;
mod full_disk;
mod gaps;
mod hold;
mod incompressible;
mod info;
mod keeping;
mod large;
mod large_events;
mod lateness;
mod metrics;
mod network_cut;
mod numbers;
mod primary_killed;
mod printing;
mod program;
mod python_examples;
mod recorder_killed;
mod recording;
mod replay_applies;
mod replay_base;
mod replay_controlled;
mod replay_dry_run;
mod replay_expiry;
mod replay_is_identical;
mod replay_orders;
mod replay_refused;
mod replay_resumed;
mod replay_timed;
mod replay_transactions;
mod source_load;
mod stream;
mod verify_against;
mod verify_privileges;
mod watched;
