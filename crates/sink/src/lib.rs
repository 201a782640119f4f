//! From rows in memory to committed Parquet files.
//!
//! `OpenCapture::send → channel bounded by bytes → sink-worker-0, 1, ... (Parquet, a part file at
//! a time, into the staging directory) → sink-publisher (group commit)`.
//!
//! It knows the channel, the workers and the group commit, and nothing of networks, devices or queries:
//! no Burn, no DataFusion.
//!
//! [`Sink`] is the way in for a recorder: it begins a capture, sends one [`Part`] a part file, or a
//! [`MakePart`] of which a worker makes one or several, and ends the capture. [`verify`] checks what is committed,
//! and [`run_stats`] counts it. [`cli`] has the verbs of the program `sink`, for whoever has them beside
//! others.

mod budget;
pub mod cli;
mod error;
mod files;
mod group_commit;
mod make_part;
mod messages;
mod on_commit;
mod patient;
mod run_stats;
mod shared;
mod sink;
mod stats;
mod sync;
#[cfg(test)]
#[path = "../../trace/src/testing.rs"]
mod testing;
mod verify;
mod worker;

// Not modules of what they test, since `tests/model/` has the files of these as well.
#[cfg(test)]
#[path = "budget/tests.rs"]
mod budget_tests;
#[cfg(test)]
#[path = "on_commit/tests.rs"]
mod on_commit_tests;
#[cfg(test)]
#[path = "sink/tests.rs"]
mod sink_tests;
#[cfg(test)]
#[path = "worker/tests.rs"]
mod worker_tests;

pub use budget::{ByteBudget, Closed, Permit};
pub use error::{SinkError, StartSinkError};
pub use files::RunFilesError;
pub use make_part::{Made, MakePart};
pub use on_commit::OnCommit;
pub use patient::{PatientWriter, READER_PATIENCE};
pub use run_stats::{Amount, RunStats, RunStatsError, TableStats, run_stats};
#[doc(hidden)]
pub use sink::BeforeWrite;
pub use sink::{
    CHANNEL_PARTS, Closing, DEFAULT_CHANNEL_BYTES, DEFAULT_MIN_PUBLISH_INTERVAL,
    MAX_DEFAULT_WORKERS, MAX_PUBLISH_INTERVAL, OpenCapture, Resume, Sink, SinkMeter, SinkOptions,
    SinkSummary, default_num_workers,
};
pub use stats::SinkStats;
pub use trace::{Compress, EncodeError, MaxPartBytes, Part, encode_part};
pub use verify::{
    Check, Problem, UncommittedFile, VerifyError, VerifyProgress, VerifyReport, verify,
};
