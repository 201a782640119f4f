//! One training run from its options to its summary: what `recorder train` does.

mod begin;
mod epochs;
mod error;
mod evaluation;
mod model_json;
mod name;
mod observer;
mod options;
mod recording;
mod run_info;
mod saved_states;
mod summary;

use std::sync::Arc;
use std::time::Instant;

use burn::backend::Autodiff;
use burn::tensor::backend::{AutodiffBackend, Backend};
use capture::{CancelToken, Change, RecordSummary};
use trace::RunDir;

use crate::dataset::Dataset;
use crate::device::{Resolution, on_device};
use crate::evaluation::{DEFAULT_EVALUATION_BATCH_SIZE, HeldOut};
use crate::training::{TrainConfig, TrainError, Trainer};

pub use error::SessionError;
pub(crate) use model_json::model_from_json;
pub use name::DEFAULT_ROOT;
pub use observer::{EpochProgress, SessionObserver};
pub use options::SessionOptions;
pub use summary::SessionSummary;

use recording::finish_recording;

/// Trains a network, and records it.
///
/// `cancel` ends the session at the next step; what was captured before is committed.
///
/// # Errors
/// If anything cannot be had or done. What was committed by then stays.
pub fn train(
    options: &SessionOptions,
    cancel: &CancelToken,
    observer: &mut dyn SessionObserver,
) -> Result<SessionSummary, SessionError> {
    options.train.validate().map_err(TrainError::from)?;
    options.schedule.check(options.train.last_epoch())?;
    let resolution = options.device.resolve()?;
    on_device!(
        resolution.device,
        train_on(options, &resolution, cancel, observer)
    )
}

fn train_on<B: Backend>(
    device: &B::Device,
    options: &SessionOptions,
    resolution: &Resolution,
    cancel: &CancelToken,
    observer: &mut dyn SessionObserver,
) -> Result<SessionSummary, SessionError> {
    Session::<Autodiff<B>>::try_new(options, resolution, device.clone(), cancel)?.run(observer)
}

struct Session<'a, B: AutodiffBackend> {
    options: &'a SessionOptions,
    resolution: &'a Resolution,
    cancel: &'a CancelToken,
    dataset: Arc<Dataset>,
    trainer: Trainer<B>,
    held_out: HeldOut<B::InnerBackend>,
    /// Whether the observer knows that the run takes what it may.
    has_reported_disk_full: bool,
}

impl<'a, B: AutodiffBackend> Session<'a, B> {
    fn try_new(
        options: &'a SessionOptions,
        resolution: &'a Resolution,
        device: B::Device,
        cancel: &'a CancelToken,
    ) -> Result<Self, SessionError> {
        let TrainConfig {
            seed, batch_size, ..
        } = options.train;
        // A run that cannot be opened is told of where it is gone on with.
        let recorded = match (options.resume, &options.out) {
            (true, Some(run)) => RunDir::open(run).ok(),
            _ => None,
        };
        let dataset = match recorded
            .as_ref()
            .and_then(|run| run.info().dataset.as_ref())
        {
            Some(then) => Dataset::open_again(&options.dataset, seed, batch_size, then)?,
            None => Dataset::open(&options.dataset, seed, batch_size)?,
        };
        let dataset = Arc::new(dataset);
        let held_out = HeldOut::new(dataset.held_out(), DEFAULT_EVALUATION_BATCH_SIZE, &device);
        let trainer = Trainer::try_new(
            options.train.clone(),
            Arc::clone(&dataset),
            device,
            cancel.clone(),
        )?;
        Ok(Self {
            options,
            resolution,
            cancel,
            dataset,
            trainer,
            held_out,
            has_reported_disk_full: false,
        })
    }

    fn run(&mut self, observer: &mut dyn SessionObserver) -> Result<SessionSummary, SessionError> {
        let (mut recording, first) = self.begin(observer)?;
        let mut kept = Some(first).filter(|first| first.0 > 0);
        let run = recording.as_ref().map(|(run, _)| run.path());
        observer.loaded(&self.dataset);
        observer.started(self.resolution, run);

        let start = Instant::now();
        let trained = self.run_epochs(first, &mut kept, recording.as_mut(), observer);
        let (last_epoch, recorded) = finish_recording(trained, recording)?;
        if let Some((run, summary)) = &recorded {
            self.report(run, &summary.changes, summary.is_disk_full, observer);
        }
        let is_whole = |summary: &RecordSummary| {
            let has_stopped = summary.changes.iter().any(Change::is_stop);
            summary.failure.is_none() && !summary.is_disk_full && !has_stopped
        };
        let goes_on = recorded
            .as_ref()
            .is_some_and(|(_, summary)| is_whole(summary));
        let last = self.options.train.last_epoch();
        Ok(SessionSummary {
            last_epoch,
            // Also while the last epoch was evaluated or published: whoever cancelled was told
            // that the session stops.
            interrupted: self.cancel.is_cancelled(),
            resumes_with: kept.filter(|next| *next <= last && goes_on),
            elapsed: start.elapsed(),
            recorded,
        })
    }
}

#[cfg(test)]
mod tests;
