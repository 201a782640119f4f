//! What recording may take, and what happens where it cannot keep up or fails.

use serde::Serialize;

/// What happens to a capture for which the hand-off has no room, because the values of the capture
/// before are not on the host yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum WhenFull {
    /// Training waits for room: nothing is ever left out
    #[default]
    Block,
    /// The capture is dropped and counted, its metrics are kept; the last epoch's is waited for
    Drop,
}

/// What happens to training where recording fails.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// Training stops with the error
    #[default]
    Stop,
    /// The error is said once, training goes on, and later captures are lost and counted
    Continue,
}

/// What recording may take, and what happens where it cannot keep up or fails.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Limits {
    /// What happens to a capture for which there is no room.
    pub when_full: WhenFull,
    /// What happens to training where recording fails.
    pub on_error: OnError,
}

/// Of how many epochs metrics may wait while there is no room for captures.
pub(super) const MAX_WAITING_METRICS: usize = 1024;
