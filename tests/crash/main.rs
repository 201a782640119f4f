//! Recorders that die, lose their disk or are read meanwhile, held against what they acknowledged
//! (`recorder train --commits`): it is there once and whole.
//!
//! `STRATIGRAPH_KILLS`, `STRATIGRAPH_POWER_CUTS` and `STRATIGRAPH_LONG` ask for the long forms, `STRATIGRAPH_SEED` for
//! other moments.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on ends, in its helpers as well"
)]
#![cfg(unix)]

mod creation;
mod dice;
mod engines;
mod failures;
mod kills;
mod noticed;
mod oracle;
mod power;
mod ranks;
mod read_only;
mod readers;
mod recorders;
mod strace;
mod tools;
mod volume;
