//! What the network makes of held-out samples and of a training batch, noted for the next capture.

use std::time::{Duration, Instant};

use burn::tensor::backend::{AutodiffBackend, Backend};
use capture::{Classifications, Loss, RecordError, Score};
use trace::{Epoch, Topology};

use super::error::{SessionError, record_error};
use super::recording::Recording;
use crate::evaluation::HeldOut;
use crate::model::{LayerOutput, Network};
use crate::recording::TraceRecorder;
use crate::training::{TrainError, Trainer};

/// Runs the network over the held-out samples. What its layers make of a batch is noted for the next
/// capture of `recording`, if there is one, and kept only as it is recorded; the time that took is
/// given back, too.
pub(super) fn evaluate<B: Backend>(
    held_out: &HeldOut<B>,
    model: &Network<B>,
    loss: Loss,
    recording: Option<&mut Recording<B>>,
) -> Result<(Classifications, Duration), SessionError> {
    let mut noting = Duration::ZERO;
    let Some((run, recorder)) = recording.filter(|(_, recorder)| recorder.wants_activations())
    else {
        let classifications = held_out.evaluate(model, loss).map_err(TrainError::from)?;
        return Ok((classifications, noting));
    };
    let labels = labels(recorder.topology());
    let mut noted = Ok(());
    let classifications = held_out.evaluate_traced(model, loss, |layer, output| {
        let start = Instant::now();
        if noted.is_ok() {
            noted = match output {
                LayerOutput::Image(batch) => recorder.activations(&labels[layer], batch),
                LayerOutput::Flat(batch) => recorder.activations(&labels[layer], batch),
            };
        }
        noting += start.elapsed();
    });
    let classifications = classifications.map_err(TrainError::from)?;
    noted.map_err(|source| record_error(run, source))?;
    Ok((classifications, noting))
}

/// Notes how well the held-out samples were predicted, for the next capture.
pub(super) fn note_score<B: Backend>(recorder: &mut TraceRecorder<B>, loss: f64, score: Score) {
    recorder.eval_metric("loss", loss);
    recorder.eval_metric(score.name(), score.value());
}

/// Notes what the network makes of the first training batch of an epoch, for the next capture. The
/// pass is made to be recorded, and counts as recording.
pub(super) fn note_first_batch<B: AutodiffBackend>(
    recorder: &mut TraceRecorder<B::InnerBackend>,
    trainer: &Trainer<B>,
    epoch: Epoch,
) -> Result<(), RecordError> {
    if !recorder.wants_train_activations() {
        return Ok(());
    }
    let start = Instant::now();
    let traced = trainer.trace_first_batch(epoch);
    for (label, output) in labels(recorder.topology()).iter().zip(traced) {
        match output {
            LayerOutput::Image(output) => recorder.train_activations(label, 0, output)?,
            LayerOutput::Flat(output) => recorder.train_activations(label, 0, output)?,
        }
    }
    recorder.spent(start.elapsed());
    Ok(())
}

/// Notes gradients of the last step and what the optimizer keeps of them, for the next capture.
pub(super) fn note_optimizer<B: AutodiffBackend>(
    recorder: &mut TraceRecorder<B::InnerBackend>,
    trainer: &Trainer<B>,
) -> Result<(), RecordError> {
    let model = trainer.trained();
    if let Some(gradients) = trainer.gradients() {
        recorder.gradients(model, gradients)?;
        recorder.gradients_applied(model, trainer.optimizer(), gradients)?;
    }
    recorder.moments(model, trainer.optimizer())
}

fn labels(topology: &Topology) -> Vec<String> {
    let layers = topology.layers().iter();
    layers.map(|l| l.layer.as_str().to_owned()).collect()
}
