//! Recording by way of the optimizer: the one place in a training loop that sees the network after
//! every step, whoever wrote the loop.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use burn::module::{AutodiffModule, Module};
use burn::optim::{GradientsParams, LearningRate, MultiGradientsParams, Optimizer};
use burn::tensor::backend::{AutodiffBackend, Backend};

use capture::{RecordError, RecordSummary};

use crate::recording::{ClipsGradients, KeepsMoments, TraceRecorder};

/// A recorder that optimizers, a metric logger and the training loop share.
///
/// No failure of recording reaches training: the first is logged and kept for
/// [`SharedRecorder::finish`], and training goes on without a recorder. A mistake in a call
/// ([`RecordError::is_mistake`]) is no failure, but the call's own error. What goes wrong with the
/// device is training's own failure, and panics as it does where Burn reads: see
/// [`TraceRecorder::check_device`].
#[derive(Debug)]
pub struct SharedRecorder<B: Backend>(Arc<Mutex<Shared<B>>>);

#[derive(Debug)]
struct Shared<B: Backend> {
    /// None once it failed or was finished.
    recorder: Option<TraceRecorder<B>>,
    failure: Option<RecordError>,
    steps_per_epoch: i64,
    /// Steps that were made: of an optimizer and its clones each counts once.
    num_steps: Arc<AtomicI64>,
    /// The optimizers that were wrapped, as long as there is one of an optimizer and its clones.
    optimizers: Vec<Weak<Lineage>>,
}

/// An optimizer and its clones.
#[derive(Debug, Default)]
struct Lineage {
    /// The most steps that one of them has made.
    num_steps: AtomicI64,
}

impl<B: Backend> Shared<B> {
    /// Training goes on without a recorder.
    fn fail(&mut self, error: RecordError) {
        let Some(recorder) = self.recorder.take() else {
            return;
        };
        tracing::error!(
            error = &error as &dyn std::error::Error,
            run = %recorder.run_path().display(),
            "recording failed, training goes on without it"
        );
        self.failure = Some(error);
    }
}

impl<B: Backend> Clone for SharedRecorder<B> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<B: Backend> SharedRecorder<B> {
    /// Shares a recorder. An optimizer is not told when an epoch ends: it ends every
    /// `steps_per_epoch` optimizer steps, of all optimizers that are wrapped together. Of a run that
    /// is resumed, steps go on from the one that it was resumed after.
    ///
    /// # Panics
    /// If `steps_per_epoch` is 0.
    pub fn new(recorder: TraceRecorder<B>, steps_per_epoch: u32) -> Self {
        assert!(steps_per_epoch > 0, "an epoch has a step at least");
        // Of a run that is gone on with, those that were made before.
        let num_steps = Arc::new(AtomicI64::new(recorder.last_step()));
        Self(Arc::new(Mutex::new(Shared {
            recorder: Some(recorder),
            failure: None,
            steps_per_epoch: steps_per_epoch.into(),
            num_steps,
            optimizers: Vec::new(),
        })))
    }

    /// Wraps an optimizer, so that each of its steps may be captured: weights, and gradients where
    /// they are recorded. Moments need [`SharedRecorder::optimizer_with_moments`], gradients as they
    /// were used [`RecordedOptimizer::with_gradients_applied`].
    ///
    /// Several optimizers that change one network, as the two of a GAN or one for the weights and one
    /// for the biases, are wrapped one by one. Their steps count together, in the order in which they
    /// are made, and a capture has of each optimizer the gradients and moments of its last step since
    /// the capture before.
    pub fn optimizer<O, M, A>(&self, optimizer: O) -> RecordedOptimizer<O, M, A>
    where
        A: AutodiffBackend<InnerBackend = B>,
    {
        let lineage = Arc::new(Lineage::default());
        let shared = &mut *self.lock();
        shared.optimizers.retain(|other| other.strong_count() > 0);
        shared.optimizers.push(Arc::downgrade(&lineage));
        RecordedOptimizer {
            optimizer,
            shared: self.clone(),
            lineage,
            num_own_steps: 0,
            num_steps: Arc::clone(&shared.num_steps),
            moments: None,
            applied: None,
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

    /// Calls `f` with the recorder, as long as there is one; a failure of recording is kept.
    ///
    /// # Errors
    /// What does not fit in a call, as a label that there is not ([`RecordError::is_mistake`]):
    /// recording goes on.
    ///
    /// # Panics
    /// If the device has failed.
    pub fn with(
        &self,
        f: impl FnOnce(&mut TraceRecorder<B>) -> Result<(), RecordError>,
    ) -> Result<(), RecordError> {
        let shared = &mut *self.lock();
        let Some(recorder) = &mut shared.recorder else {
            return Ok(());
        };
        match f(recorder) {
            Err(error) if error.is_mistake() => Err(error),
            Err(RecordError::Device(error)) => {
                shared.recorder = None;
                panic!("{}", RecordError::Device(error).with_causes());
            }
            Err(error) => {
                shared.fail(error);
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// As [`SharedRecorder::with`], where nobody is there to be told: whatever goes wrong is kept.
    pub(crate) fn keep(&self, f: impl FnOnce(&mut TraceRecorder<B>) -> Result<(), RecordError>) {
        if let Err(error) = self.with(f) {
            self.lock().fail(error);
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

    /// Ends the recording as [`SharedRecorder::finish`] does, with the network that training ended
    /// with as the last capture, whatever the schedule says: as early stopping needs it. `model` is
    /// that network, without autodiff, after the last step that an optimizer of
    /// [`SharedRecorder::optimizer`] has made, whose epoch and step the capture has.
    ///
    /// # Errors
    /// As for [`SharedRecorder::finish`]. If the module is not the one that the recorder was started
    /// with; what was captured before is committed all the same.
    pub fn finish_with<M: Module<B>>(&self, model: &M) -> Result<RecordSummary, RecordError> {
        let shared = &mut *self.lock();
        let step = shared.num_steps.load(Ordering::Relaxed);
        match (shared.failure.take(), shared.recorder.take()) {
            (Some(failure), _) => Err(failure),
            (None, Some(recorder)) if step == 0 => recorder.finish(),
            (None, Some(recorder)) => {
                let epoch = epoch_of(step, shared.steps_per_epoch);
                recorder.finish_with(model, epoch, step)
            }
            (None, None) => Err(RecordError::Stopped),
        }
    }

    /// The moment at which an epoch ends.
    #[cfg(feature = "burn-train")]
    pub(crate) fn end_of(&self, epoch: i32) -> trace::CaptureId {
        let num_epochs = i64::from(epoch) + 1;
        trace::CaptureId {
            epoch: trace::Epoch(epoch),
            step: trace::Step(num_epochs.saturating_mul(self.lock().steps_per_epoch)),
        }
    }

    /// A panic elsewhere leaves nothing half-done here.
    fn lock(&self) -> MutexGuard<'_, Shared<B>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The recorder of a network that is trained on a backend.
type Recorder<A> = TraceRecorder<<A as AutodiffBackend>::InnerBackend>;

/// Hands what an optimizer keeps of the gradients to a recorder.
type NoteMoments<O, M, A> = fn(&mut Recorder<A>, &M, &O) -> Result<(), RecordError>;

/// Hands the gradients that an optimizer uses to a recorder.
type NoteApplied<O, M, A, G> = fn(&mut Recorder<A>, &M, &O, &G) -> Result<(), RecordError>;

/// [`NoteApplied`] of the gradients of one device, and of those of several.
#[derive(Debug, Clone)]
struct Applied<O, M, A: AutodiffBackend> {
    of_one: NoteApplied<O, M, A, GradientsParams>,
    of_devices: NoteApplied<O, M, A, MultiGradientsParams>,
}

/// An optimizer whose steps a [`SharedRecorder`] captures. It changes nothing of what the optimizer
/// does.
///
/// Step n is the n-th that the recorder's optimizers make; epochs count from 0. At the end of an epoch
/// the learning rate is recorded, too, of the optimizer that makes its last step.
///
/// A clone that steps as well, as each worker's does where training is data-parallel, is taken for the
/// optimizer of a replica that holds the same weights: the first of them to make a step is the one of
/// which it is recorded, and counts.
#[derive(Debug, Clone)]
pub struct RecordedOptimizer<O, M, A: AutodiffBackend> {
    optimizer: O,
    shared: SharedRecorder<A::InnerBackend>,
    lineage: Arc<Lineage>,
    /// Steps that this one has made, with those of the one that it was cloned from.
    num_own_steps: i64,
    /// Steps that were made of all optimizers.
    num_steps: Arc<AtomicI64>,
    moments: Option<NoteMoments<O, M, A>>,
    applied: Option<Applied<O, M, A>>,
}

impl<O, M, A> RecordedOptimizer<O, M, A>
where
    A: AutodiffBackend,
    M: AutodiffModule<A>,
    O: ClipsGradients,
{
    /// Has the gradients recorded that the optimizer used, clipped as it clips them, beside those that
    /// the backward pass made ([`Recorded::gradients_applied`](crate::Recorded::gradients_applied)).
    pub fn with_gradients_applied(self) -> Self {
        Self {
            applied: Some(Applied {
                of_one: TraceRecorder::gradients_applied,
                of_devices: TraceRecorder::gradients_applied_of_devices,
            }),
            ..self
        }
    }
}

/// When an optimizer's step is made.
#[derive(Debug, Clone, Copy)]
struct Moment {
    epoch: i32,
    step: i64,
    /// Whether the epoch ends with it.
    is_end: bool,
}

impl Moment {
    fn of_step(step: i64, steps_per_epoch: i64) -> Self {
        Self {
            epoch: epoch_of(step, steps_per_epoch),
            step,
            is_end: step % steps_per_epoch == 0,
        }
    }

    fn is_due<B: Backend>(self, recorder: &TraceRecorder<B>) -> bool {
        match self.is_end {
            true => recorder.is_end_due(self.epoch, self.step),
            false => recorder.is_step_due(self.step),
        }
    }
}

impl<O, M, A> RecordedOptimizer<O, M, A>
where
    A: AutodiffBackend,
    M: AutodiffModule<A>,
    O: Optimizer<M, A>,
{
    /// Makes a step by `make`, and has it captured unless a clone has made it already; `note` hands
    /// its gradients over.
    fn step_with<G>(
        &mut self,
        learning_rate: LearningRate,
        model: M,
        gradients: G,
        note: impl FnOnce(&mut Recorder<A>, &M, &G) -> Result<(), RecordError>,
        note_applied: Option<NoteApplied<O, M, A, G>>,
        make: impl FnOnce(&mut O, LearningRate, M, G) -> M,
    ) -> M {
        let is_first = self.is_first_of_step();
        if is_first {
            self.before(|recorder| {
                note(recorder, &model, &gradients)?;
                match note_applied {
                    Some(note) => note(recorder, &model, &self.optimizer, &gradients),
                    None => Ok(()),
                }
            });
        }
        let model = make(&mut self.optimizer, learning_rate, model, gradients);
        if is_first {
            self.after(&model, learning_rate);
        }
        model
    }

    /// Counts a step of this optimizer; says whether it is the first of its clones to make it.
    fn is_first_of_step(&mut self) -> bool {
        self.num_own_steps += 1;
        let before = self
            .lineage
            .num_steps
            .fetch_max(self.num_own_steps, Ordering::Relaxed);
        before < self.num_own_steps
    }

    /// Notes the gradients of a step that is about to be made, if it will be captured. Where other
    /// optimizers step in between, it may be one of theirs that is.
    fn before(&self, note: impl FnOnce(&mut Recorder<A>) -> Result<(), RecordError>) {
        let (steps_per_epoch, is_alone) = self.surroundings();
        self.shared.keep(|recorder| {
            let step = self.num_steps.load(Ordering::Relaxed) + 1;
            match !is_alone || Moment::of_step(step, steps_per_epoch).is_due(recorder) {
                true => note(recorder),
                false => Ok(()),
            }
        });
    }

    /// Counts a step that was made, in the order in which the recorder sees them.
    fn after(&self, model: &M, learning_rate: LearningRate) {
        let (steps_per_epoch, is_alone) = self.surroundings();
        self.shared.keep(|recorder| {
            let step = self.num_steps.fetch_add(1, Ordering::Relaxed) + 1;
            let moment = Moment::of_step(step, steps_per_epoch);
            if let Some(note_moments) = self.moments
                && (!is_alone || moment.is_due(recorder))
            {
                note_moments(recorder, model, &self.optimizer)?;
            }
            if moment.is_end {
                recorder.metric("learning_rate", learning_rate);
                recorder.capture(model, moment.epoch, step)?;
            } else {
                recorder.capture_step(model, moment.epoch, step)?;
            }
            Ok(())
        });
    }

    /// How many steps an epoch has, and whether no other optimizer steps.
    fn surroundings(&self) -> (i64, bool) {
        let shared = self.shared.lock();
        let others = shared.optimizers.iter();
        let num_alive = others.filter(|other| other.strong_count() > 0).count();
        (shared.steps_per_epoch, num_alive == 1)
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
        let applied = self.applied.as_ref().map(|applied| applied.of_one);
        let note = TraceRecorder::gradients;
        self.step_with(lr, module, grads, note, applied, O::step)
    }

    fn step_multi(&mut self, lr: LearningRate, module: M, grads: MultiGradientsParams) -> M {
        let applied = self.applied.as_ref().map(|applied| applied.of_devices);
        let note = TraceRecorder::gradients_of_devices;
        self.step_with(lr, module, grads, note, applied, O::step_multi)
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
