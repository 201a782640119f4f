//! What a session keeps for training to go on from.

use burn::tensor::backend::{AutodiffBackend, Backend};
use capture::{Cadence, SaveEvery};
use trace::{CaptureId, Epoch};

use super::Session;
use super::error::{SessionError, record_error};
use super::recording::Recording;
use crate::recording::HeldState;
use crate::training::EpochReport;

/// What a session keeps for training to go on from.
pub(super) struct SavedStates<'a, B: Backend> {
    cadence: Cadence,
    /// The end of the last whole epoch, where it was not due.
    unwritten: Option<HeldState<B>>,
    /// The epoch with which the newest one that was handed over goes on.
    kept: &'a mut Option<Epoch>,
}

impl<'a, B: Backend> SavedStates<'a, B> {
    /// None is unwritten; the newest that was handed over goes on with `kept`.
    pub(super) fn new(every: SaveEvery, kept: &'a mut Option<Epoch>) -> Self {
        Self {
            cadence: Cadence::new(every),
            unwritten: None,
            kept,
        }
    }

    /// What was handed over may be lost.
    pub(super) fn forget(&mut self) {
        *self.kept = None;
    }

    /// Writes the end of the last whole epoch, if it was not.
    pub(super) fn write_last(
        &mut self,
        (run, recorder): &mut Recording<B>,
    ) -> Result<(), SessionError> {
        let Some(state) = self.unwritten.take() else {
            return Ok(());
        };
        let next = Epoch(state.id.epoch.0 + 1);
        let handed_over = recorder.save_state(state);
        handed_over.map_err(|source| record_error(run, source))?;
        *self.kept = Some(next);
        Ok(())
    }
}

impl<B: AutodiffBackend> Session<'_, B> {
    /// Hands over what training can go on from, if that is due: at the end always, so that the run can
    /// be extended. What is not due is held until the end of the next epoch, in case that the session
    /// is cancelled before.
    ///
    /// Where a run keeps no saved states, the last one goes at the end, and none is written; but where
    /// nothing of the last epoch is recorded, a saved state is what tells that training came to it.
    pub(super) fn save_state(
        &self,
        train: EpochReport,
        saved_states: &mut SavedStates<'_, B::InnerBackend>,
        recording: &mut Recording<B::InnerBackend>,
    ) -> Result<(), SessionError> {
        let (run, recorder) = &mut *recording;
        let is_last = train.epoch == self.options.train.last_epoch();
        let keeps_any = self.options.save_every != SaveEvery::Never;
        let id = CaptureId {
            epoch: train.epoch,
            step: train.step,
        };
        if !keeps_any && !is_last {
            return Ok(());
        }
        let is_recorded = || {
            let records_metrics = self.options.recorded.is_some_and(|r| r.metrics);
            !recorder.is_disk_full() && (records_metrics || recorder.is_end_captured(id))
        };
        if !keeps_any && is_recorded() {
            let retired = recorder.retire_state(id);
            *saved_states.kept = None;
            return retired.map_err(|source| record_error(run, source));
        }
        if recorder.failure().is_some() {
            return Ok(());
        }
        let (model, optimizer) = (self.trainer.trained(), self.trainer.optimizer());
        let state = recorder.train_state(id, model, optimizer);
        saved_states.unwritten = Some(state.map_err(|source| record_error(run, source))?);
        match is_last || saved_states.cadence.is_due(train.epoch) {
            true => saved_states.write_last(recording),
            false => Ok(()),
        }
    }
}
