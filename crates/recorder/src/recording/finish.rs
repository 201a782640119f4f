//! The end of a recording.

use std::time::Instant;

use burn::tensor::backend::Backend;
use capture::{Decision, RecordError, RecordSummary};
use trace::CaptureId;

use super::recordable::Recordable;
use super::{TraceRecorder, capture_id};

impl<B: Backend> TraceRecorder<B> {
    /// Waits until everything that was captured is committed (ARCHITECTURE.md, invariant 4), and ends
    /// the recording.
    ///
    /// # Errors
    /// Why recording stopped, if it has. With [`OnError::Continue`](crate::OnError::Continue) the summary
    /// says it instead, unless the device has failed.
    pub fn finish(self) -> Result<RecordSummary, RecordError> {
        self.recording.finish()
    }

    /// Ends the recording as [`TraceRecorder::finish`] does, with the network that training ended with
    /// as the last capture, whatever the schedule says: call it where training ended before the epoch
    /// that was to be the last, as early stopping does.
    ///
    /// `epoch` and `step` are those of [`TraceRecorder::capture`]: where it was called for this very
    /// moment and captured the network, nothing is captured again.
    ///
    /// # Errors
    /// As for [`TraceRecorder::finish`]. If the module is not the one that the recorder was started
    /// with, or something was recorded of a later moment; what was captured before is committed all
    /// the same.
    pub fn finish_with<K>(
        mut self,
        model: &impl Recordable<B, K>,
        epoch: i32,
        step: i64,
    ) -> Result<RecordSummary, RecordError> {
        let captured = self.capture_last(model, capture_id(epoch, step));
        let finished = self.finish();
        captured?;
        finished
    }

    /// Captures the network that training ended with, unless it was.
    fn capture_last<K>(
        &mut self,
        model: &impl Recordable<B, K>,
        id: CaptureId,
    ) -> Result<(), RecordError> {
        let start = Instant::now();
        let handles = match self.recording.decide_last(id)? {
            Decision::Nothing | Decision::LeftOut => return Ok(()),
            Decision::Metrics => None,
            Decision::Capture => Some(self.handles_of_due(model)?),
        };
        let source = self.source(handles);
        self.recording.hand_over_last(id, source, start)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
