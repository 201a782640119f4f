//! How a session ended.

use std::path::PathBuf;
use std::time::Duration;

use capture::RecordSummary;
use trace::Epoch;

use super::observer::EpochProgress;

/// How a session ended.
#[derive(Debug, Clone)]
pub struct SessionSummary {
    /// The last epoch that is whole; none if the first was interrupted.
    pub last_epoch: Option<EpochProgress>,
    /// Whether the session was cancelled before its end: epochs may be missing, what was captured
    /// is committed.
    pub interrupted: bool,
    /// The epoch that training would go on with if the run were resumed; none where it would begin
    /// anew, nothing is left to train, or nothing is recorded.
    pub resumes_with: Option<Epoch>,
    /// From the first step to the end of the last, with evaluation, and until everything that was
    /// recorded is committed.
    pub elapsed: Duration,
    /// The run and what was recorded into it.
    pub recorded: Option<(PathBuf, RecordSummary)>,
}
