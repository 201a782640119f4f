//! What recording may take, and what happens where it cannot keep up or fails.

use serde::Serialize;

use super::governor::{DEFAULT_MAX_OVERHEAD, MaxOverhead};

/// What happens to a capture for which the hand-off has no room, because the values of the capture
/// before are not on the host yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenFull {
    /// Training waits for room: nothing is ever left out.
    #[default]
    Block,
    /// Training waits for room, and fewer captures are taken, so that what recording costs is
    /// within [`Limits::max_overhead`], or [`DEFAULT_MAX_OVERHEAD`] where there is none.
    Thin,
    /// The capture is dropped and counted, its metrics are kept; the last epoch's is waited for.
    Drop,
}

/// What happens to training where recording fails.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// Training stops with the error.
    #[default]
    Stop,
    /// The error is said once, training goes on, and later captures are lost and counted. Where there was no
    /// room, recording is taken up again as soon as there is. A failure of the device stops training all the
    /// same.
    Continue,
}

/// What recording may take, and what happens where it cannot keep up or fails.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Limits {
    /// What happens to a capture for which there is no room.
    pub when_full: WhenFull,
    /// What happens to training where recording fails.
    pub on_error: OnError,
    /// What recording may cost training; captures are thinned out to keep within it.
    pub max_overhead: Option<MaxOverhead>,
    /// How many bytes the run may take; recording stops before a capture that might not fit, and
    /// training goes on.
    pub max_disk: Option<u64>,
}

impl Limits {
    /// What recording may cost training, if that is limited.
    pub(super) fn overhead(&self) -> Option<MaxOverhead> {
        let by_default = (self.when_full == WhenFull::Thin).then_some(DEFAULT_MAX_OVERHEAD);
        self.max_overhead.or(by_default)
    }

    /// Whether captures may be left out by what a process measures of itself.
    pub fn leave_captures_out(&self) -> bool {
        self.when_full == WhenFull::Drop || self.overhead().is_some() || self.max_disk.is_some()
    }
}

/// Of how many epochs metrics may wait while there is no room for captures.
pub(super) const MAX_WAITING_METRICS: usize = 1024;
