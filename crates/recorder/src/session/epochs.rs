//! The loop of a session: epochs are trained, evaluated, and handed over to be recorded.

use std::path::Path;
use std::time::Instant;

use burn::tensor::backend::AutodiffBackend;
use capture::Change;
use trace::{Epoch, Rank};

use super::Session;
use super::error::{SessionError, record_error};
use super::evaluation::{evaluate, note_first_batch, note_optimizer, note_score};
use super::observer::{EpochProgress, SessionObserver};
use super::recording::Recording;
use super::saved_states::SavedStates;
use crate::evaluation::HeldOut;
use crate::training::{EpochOutcome, EpochReport, Trainer};

impl<B: AutodiffBackend> Session<'_, B> {
    /// Trains from an epoch to the last one or until cancelled; gives the last that is whole. `kept`
    /// is the epoch with which the run's saved state goes on, and is kept up to date.
    pub(super) fn run_epochs(
        &mut self,
        first: Epoch,
        kept: &mut Option<Epoch>,
        mut recording: Option<&mut Recording<B::InnerBackend>>,
        observer: &mut dyn SessionObserver,
    ) -> Result<Option<EpochProgress>, SessionError> {
        let is_untrained = self.options.record_initial && first == Epoch(0);
        if let (true, Some(recording)) = (is_untrained, recording.as_deref_mut()) {
            self.capture_initial(recording)?;
        }
        let mut last_epoch = None;
        let mut saved_states = SavedStates::new(self.options.save_every, kept);
        if let Some(recording) = recording.as_deref_mut() {
            self.report_changes(recording, &mut saved_states, observer);
        }
        for epoch in first.0..=self.options.train.last_epoch().0 {
            let epoch = Epoch(epoch);
            if self.cancel.is_cancelled() {
                break;
            }
            let Self {
                trainer, held_out, ..
            } = self;
            let outcome =
                trainer.run_epoch_with(epoch, |trainer| match recording.as_deref_mut() {
                    Some(recording) => capture_step(trainer, held_out, epoch, recording),
                    None => Ok(()),
                })?;
            match outcome {
                EpochOutcome::Interrupted => break,
                EpochOutcome::Completed(report) => {
                    let progress = self.end_epoch(report, recording.as_deref_mut())?;
                    if let Some(recording) = recording.as_deref_mut() {
                        self.save_state(report, &mut saved_states, recording)?;
                        self.report_changes(recording, &mut saved_states, observer);
                    }
                    observer.epoch_done(&progress);
                    last_epoch = Some(progress);
                }
            }
        }
        if let Some(recording) = recording {
            saved_states.write_last(recording)?;
        }
        Ok(last_epoch)
    }

    /// Says what has become of a recording while training went on.
    fn report_changes(
        &mut self,
        (run, recorder): &mut Recording<B::InnerBackend>,
        saved_states: &mut SavedStates<'_, B::InnerBackend>,
        observer: &mut dyn SessionObserver,
    ) {
        let changes = recorder.take_changes();
        if !changes.is_empty() || recorder.failure().is_some() {
            // What was handed over last may be lost, also where recording was taken up in vain, of which no
            // change tells.
            saved_states.forget();
        }
        self.report(run.path(), &changes, recorder.is_disk_full(), observer);
    }

    /// Says that recording has stopped and goes on again, and once that the run takes what it may of the disk.
    pub(super) fn report(
        &mut self,
        run: &Path,
        changes: &[Change],
        is_disk_full: bool,
        observer: &mut dyn SessionObserver,
    ) {
        for change in changes {
            match change {
                Change::Stopped {
                    error,
                    waits_for_room: true,
                } => observer.waits_for_room(run, error),
                Change::Stopped { error, .. } => observer.recording_failed(run, error),
                Change::TakenUp { lost_captures } => observer.taken_up(run, *lost_captures),
            }
        }
        if !self.has_reported_disk_full && is_disk_full {
            observer.disk_full(run);
            self.has_reported_disk_full = true;
        }
    }

    /// Evaluates, which is done whether anything is recorded or not, and hands over.
    pub(super) fn end_epoch(
        &mut self,
        train: EpochReport,
        mut recording: Option<&mut Recording<B::InnerBackend>>,
    ) -> Result<EpochProgress, SessionError> {
        let model = self.trainer.model();
        let loss = self.trainer.model_config().loss;
        let is_due = recording
            .as_ref()
            .is_some_and(|(_, recorder)| recorder.is_end_due(train.epoch.0, train.step.0));
        let to_record = recording.as_deref_mut().filter(|_| is_due);
        let (classifications, noting) = evaluate(&self.held_out, &model, loss, to_record)?;
        let mut progress = EpochProgress {
            train,
            eval_loss: classifications.mean_loss(),
            eval_score: classifications.score(loss),
            part_bytes: 0,
        };
        if let Some((run, recorder)) = recording {
            // The ranks train the same network: one of them says how it goes.
            if self.options.rank == Rank::default() {
                recorder.train_metric("loss", train.train_loss);
                recorder.train_metric(train.train_score.name(), train.train_score.value());
                note_score(recorder, progress.eval_loss, progress.eval_score);
                recorder.metric("learning_rate", self.options.train.learning_rate);
            }
            let hand_over = || {
                if is_due {
                    recorder.spent(noting);
                    recorder.classified(classifications);
                    note_first_batch(recorder, &self.trainer, train.epoch)?;
                    let start = Instant::now();
                    note_optimizer(recorder, &self.trainer)?;
                    recorder.spent(start.elapsed());
                }
                recorder.capture(&model, train.epoch.0, train.step.0)
            };
            hand_over().map_err(|source| record_error(run, source))?;
            progress.part_bytes = recorder.part_bytes();
        }
        Ok(progress)
    }

    /// Captures the network as it is before its first step, and what it makes of the held-out set.
    fn capture_initial(
        &self,
        recording: &mut Recording<B::InnerBackend>,
    ) -> Result<(), SessionError> {
        let model = self.trainer.model();
        let loss = self.trainer.model_config().loss;
        let (classifications, _) = evaluate(&self.held_out, &model, loss, Some(recording))?;
        let (run, recorder) = recording;
        let score = classifications.score(loss);
        if self.options.rank == Rank::default() {
            note_score(recorder, classifications.mean_loss(), score);
        }
        let hand_over = || {
            recorder.classified(classifications);
            note_first_batch(recorder, &self.trainer, Epoch(0))?;
            recorder.capture_initial(&model)
        };
        hand_over().map_err(|source| record_error(run, source))
    }
}

/// Captures the network after a step inside of an epoch if that is due: an evaluation is made for it
/// alone.
fn capture_step<B: AutodiffBackend>(
    trainer: &Trainer<B>,
    held_out: &HeldOut<B::InnerBackend>,
    epoch: Epoch,
    recording: &mut Recording<B::InnerBackend>,
) -> Result<(), SessionError> {
    let step = trainer.step();
    let (run, recorder) = &mut *recording;
    let checked = recorder.check_device();
    checked.map_err(|source| record_error(run, source))?;
    if !recorder.is_step_due(step.0) {
        return Ok(());
    }
    let start = Instant::now();
    let model = trainer.model();
    let classifications = match recorder.records_evaluation() {
        true => {
            let loss = trainer.model_config().loss;
            Some(evaluate(held_out, &model, loss, Some(recording))?.0)
        }
        false => None,
    };
    let (run, recorder) = recording;
    let hand_over = || {
        if let Some(classifications) = classifications {
            recorder.classified(classifications);
        }
        recorder.spent(start.elapsed());
        note_first_batch(recorder, trainer, epoch)?;
        let start = Instant::now();
        note_optimizer(recorder, trainer)?;
        recorder.spent(start.elapsed());
        recorder.capture_step(&model, epoch.0, step.0)
    };
    hand_over().map_err(|source| record_error(run, source))?;
    Ok(())
}
