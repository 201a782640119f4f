//! A run on a disk that loses power, fails, or is full: whatever was acknowledged is there once and whole,
//! nothing is there by half, and recording goes on.
//!
//! Runs are written on a simulated disk (`trace::SimDisk`). `STRATIGRAPH_LONG=1` goes through more of the
//! disks that may be left.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "test code, which counts aloud"
)]

mod crashes;
mod expected;
mod faults;
mod files;
mod scratch;
mod story;
mod syncs;
#[path = "../../../trace/src/testing.rs"]
mod testing;

/// Whether the long form was asked for.
fn is_long() -> bool {
    std::env::var_os("STRATIGRAPH_LONG").is_some_and(|value| !value.is_empty())
}
