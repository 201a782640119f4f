//! Who is told how a session goes on, and what.

use std::path::Path;

use capture::{RecordError, Score};
use trace::Epoch;

use crate::dataset::Dataset;
use crate::device::Resolution;
use crate::training::EpochReport;

/// Told how a session goes on.
pub trait SessionObserver {
    /// The data was read. What is odd about it is logged unless something else is done with it.
    fn loaded(&mut self, dataset: &Dataset) {
        for note in dataset.notes() {
            tracing::warn!("data: {note}");
        }
    }
    /// A run is gone on with, from the beginning of an epoch; so many captures that were committed
    /// are recorded anew.
    fn resumed(&mut self, _epoch: Epoch, _num_retired: usize) {}
    /// Training begins: on which device and why, and where the run is, if there is one.
    fn started(&mut self, device: &Resolution, run: Option<&Path>);
    /// An epoch was trained, evaluated, and handed over to be recorded.
    fn epoch_done(&mut self, progress: &EpochProgress);
    /// The run takes what it may of the disk
    /// ([`Limits::max_disk`](crate::Limits::max_disk)): recording has stopped, and training goes on. Said once;
    /// logged unless something else is done with it.
    fn disk_full(&mut self, run: &Path) {
        tracing::warn!(run = %run.display(), "the run takes what it may, recording has stopped");
    }
    /// Recording into `run` has stopped for want of room, and training goes on
    /// ([`OnError::Continue`](crate::OnError::Continue)): recording is taken up again where there is room. Said
    /// each time; logged unless something else is done with it.
    fn waits_for_room(&mut self, run: &Path, error: &RecordError) {
        tracing::error!(
            run = %run.display(),
            error = error as &dyn std::error::Error,
            "recording has stopped until there is room for it, and training goes on"
        );
    }
    /// Recording into `run` was taken up again; so many captures were lost in this session so far. Said each
    /// time; logged unless something else is done with it.
    fn taken_up(&mut self, run: &Path, lost_captures: u64) {
        tracing::warn!(run = %run.display(), lost_captures, "there is room again, and recording goes on");
    }
    /// Recording into `run` has failed, and training goes on without it ([`OnError::Continue`]).
    /// Said once; logged unless something else is done with it.
    ///
    /// [`OnError::Continue`]: crate::OnError::Continue
    fn recording_failed(&mut self, run: &Path, error: &RecordError) {
        tracing::error!(
            run = %run.display(),
            error = error as &dyn std::error::Error,
            "recording failed, and training goes on without it"
        );
    }
}

/// An epoch that is done.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EpochProgress {
    /// What training was like.
    pub train: EpochReport,
    /// Mean loss over the held-out samples.
    pub eval_loss: f64,
    /// How well the held-out samples were predicted.
    pub eval_score: Score,
    /// Bytes of part files written so far.
    pub part_bytes: u64,
}
