//! Recording by way of the optimizer: the one place in a training loop that sees the network after
//! every step, whoever wrote the loop.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use burn::module::AutodiffModule;
use burn::optim::{GradientsParams, LearningRate, MultiGradientsParams, Optimizer};
use burn::tensor::backend::{AutodiffBackend, Backend};

use crate::recording::{KeepsMoments, RecordError, RecordSummary, TraceRecorder};

/// A recorder that an optimizer, a metric logger and the training loop share.
///
/// Nothing that goes wrong with recording reaches training: the first failure is logged and kept
/// for [`SharedRecorder::finish`], and training goes on without a recorder.
#[derive(Debug)]
pub struct SharedRecorder<B: Backend>(Arc<Mutex<Shared<B>>>);

#[derive(Debug)]
struct Shared<B: Backend> {
    /// None once it failed or was finished.
    recorder: Option<TraceRecorder<B>>,
    failure: Option<RecordError>,
    steps_per_epoch: i64,
}

impl<B: Backend> Clone for SharedRecorder<B> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<B: Backend> SharedRecorder<B> {
    /// Shares a recorder. An optimizer is not told when an epoch ends: it ends every
    /// `steps_per_epoch` optimizer steps.
    ///
    /// # Panics
    /// If `steps_per_epoch` is 0.
    pub fn new(recorder: TraceRecorder<B>, steps_per_epoch: u32) -> Self {
        assert!(steps_per_epoch > 0, "an epoch has a step at least");
        Self(Arc::new(Mutex::new(Shared {
            recorder: Some(recorder),
            failure: None,
            steps_per_epoch: steps_per_epoch.into(),
        })))
    }

    /// Wraps an optimizer, so that each of its steps may be captured: weights, and gradients where
    /// they are recorded.
    pub fn optimizer<O, M, A>(&self, optimizer: O) -> RecordedOptimizer<O, M, A>
    where
        A: AutodiffBackend<InnerBackend = B>,
    {
        RecordedOptimizer {
            optimizer,
            shared: self.clone(),
            num_steps: 0,
            moments: None,
        }
    }

    /// Wraps an optimizer as [`SharedRecorder::optimizer`] does, for its moments to be recorded as
    /// well.
    pub fn optimizer_with_moments<O, M, A>(&self, optimizer: O) -> RecordedOptimizer<O, M, A>
    where
        A: AutodiffBackend<InnerBackend = B>,
        M: AutodiffModule<A>,
        O: KeepsMoments<M, A>,
    {
        RecordedOptimizer {
            moments: Some(TraceRecorder::moments),
            ..self.optimizer(optimizer)
        }
    }

    /// Calls `f` with the recorder, as long as there is one; what goes wrong is kept.
    pub fn with(&self, f: impl FnOnce(&mut TraceRecorder<B>) -> Result<(), RecordError>) {
        let shared = &mut *self.lock();
        let Some(recorder) = &mut shared.recorder else {
            return;
        };
        if let Err(error) = f(recorder) {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                run = %recorder.run_path().display(),
                "recording failed, training goes on without it"
            );
            shared.failure = Some(error);
            shared.recorder = None;
        }
    }

    /// Waits until everything that was captured is committed, and ends the recording.
    ///
    /// # Errors
    /// Why recording failed, if it has, or that it was finished before.
    pub fn finish(&self) -> Result<RecordSummary, RecordError> {
        let shared = &mut *self.lock();
        match (shared.failure.take(), shared.recorder.take()) {
            (Some(failure), _) => Err(failure),
            (None, Some(recorder)) => recorder.finish(),
            (None, None) => Err(RecordError::Stopped),
        }
    }

    /// A panic elsewhere leaves nothing half-done here.
    fn lock(&self) -> MutexGuard<'_, Shared<B>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hands what an optimizer keeps of the gradients to a recorder.
type NoteMoments<O, M, A> =
    fn(&mut TraceRecorder<<A as AutodiffBackend>::InnerBackend>, &M, &O) -> Result<(), RecordError>;

/// An optimizer whose steps a [`SharedRecorder`] captures. It changes nothing of what the optimizer
/// does.
///
/// Step n is the n-th of this optimizer; epochs count from 0. At the end of an epoch the learning
/// rate is recorded, too.
#[derive(Debug, Clone)]
pub struct RecordedOptimizer<O, M, A: AutodiffBackend> {
    optimizer: O,
    shared: SharedRecorder<A::InnerBackend>,
    num_steps: i64,
    moments: Option<NoteMoments<O, M, A>>,
}

impl<O, M, A> RecordedOptimizer<O, M, A>
where
    A: AutodiffBackend,
    M: AutodiffModule<A>,
    O: Optimizer<M, A>,
{
    /// Counts a step that is about to be made.
    fn before(&mut self, model: &M, gradients: &GradientsParams) {
        self.num_steps += 1;
        let step = self.num_steps;
        let steps_per_epoch = self.shared.lock().steps_per_epoch;
        self.shared.with(|recorder| {
            let is_due = match step % steps_per_epoch {
                0 => recorder.is_end_due(epoch_of(step, steps_per_epoch), step),
                _ => recorder.is_step_due(step),
            };
            match is_due {
                true => recorder.gradients(model, gradients),
                false => Ok(()),
            }
        });
    }

    fn after(&self, model: &M, learning_rate: LearningRate) {
        let step = self.num_steps;
        let steps_per_epoch = self.shared.lock().steps_per_epoch;
        let epoch = epoch_of(step, steps_per_epoch);
        let is_end = step % steps_per_epoch == 0;
        self.shared.with(|recorder| {
            let is_due = match is_end {
                true => recorder.is_end_due(epoch, step),
                false => recorder.is_step_due(step),
            };
            if let (true, Some(note_moments)) = (is_due, self.moments) {
                note_moments(recorder, model, &self.optimizer)?;
            }
            if is_end {
                recorder.metric("learning_rate", learning_rate);
                recorder.capture(model, epoch, step)?;
            } else {
                recorder.capture_step(model, epoch, step)?;
            }
            Ok(())
        });
    }
}

/// The epoch that a step belongs to.
fn epoch_of(step: i64, steps_per_epoch: i64) -> i32 {
    i32::try_from((step - 1) / steps_per_epoch).unwrap_or(i32::MAX)
}

impl<O, M, A> Optimizer<M, A> for RecordedOptimizer<O, M, A>
where
    A: AutodiffBackend,
    M: AutodiffModule<A>,
    O: Optimizer<M, A>,
{
    type Record = O::Record;

    fn step(&mut self, lr: LearningRate, module: M, grads: GradientsParams) -> M {
        self.before(&module, &grads);
        let module = self.optimizer.step(lr, module, grads);
        self.after(&module, lr);
        module
    }

    /// Gradients of several devices are summed inside the optimizer, where nobody sees them: they
    /// are not recorded.
    fn step_multi(&mut self, lr: LearningRate, module: M, grads: MultiGradientsParams) -> M {
        self.num_steps += 1;
        let module = self.optimizer.step_multi(lr, module, grads);
        self.after(&module, lr);
        module
    }

    fn to_record(&self) -> Self::Record {
        self.optimizer.to_record()
    }

    fn load_record(mut self, record: Self::Record) -> Self {
        self.optimizer = self.optimizer.load_record(record);
        self
    }
}

#[cfg(test)]
mod tests;
