//! The threads of a sink under many interleavings: nobody waits for ever, whatever comes when; no more is taken of the
//! channel's budget than there is; captures are committed in the order in which they were handed over, each whole or
//! not at all, and are told once they are.
//!
//! Shuttle runs the threads one at a time and chooses at each operation on what they share which is next. It says
//! so where all of them wait. The budget, the workers and the group commit are the very files of the crate, with
//! shuttle's locks, atomics and threads in place of the standard library's, and a channel made of these in place of
//! crossbeam's. They write into real runs, on a disk that lets other threads come in between.
//! Most checks are done once more with something broken, to see that they notice.
//!
//! What this leaves out: orders of memory weaker than sequential consistency (the budget asks for none; flags and
//! figures of which nothing depends on another have them), crossbeam's channels themselves, threads of several
//! processes, and time, which goes by at random. Channels of 1,024 messages hold 2 here, so that some are full.
//!
//! `STRATIGRAPH_LONG=1` goes through twenty times as many interleavings.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "test code, which has files of the crate for a part of what is in them"
)]

#[path = "../../src/budget.rs"]
mod budget;
#[path = "../../src/error.rs"]
mod error;
#[path = "../../src/group_commit.rs"]
mod group_commit;
#[path = "../../src/make_part.rs"]
mod make_part;
#[path = "../../src/messages.rs"]
mod messages;
#[path = "../../src/on_commit.rs"]
mod on_commit;
#[path = "../../src/shared.rs"]
mod shared;
#[path = "../../src/sink.rs"]
mod sink;
#[path = "../../src/stats.rs"]
mod stats;
#[path = "../../src/worker.rs"]
mod worker;

mod bytes;
mod captures;
mod disk;
mod explore;
mod story;
mod sync;
#[path = "../../../trace/src/testing.rs"]
mod testing;
