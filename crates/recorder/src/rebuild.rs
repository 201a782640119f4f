//! A network as it was at a capture, with the samples that were held out: rebuilt from the trace.

use trace::{RunDir, Table};

use crate::dataset::{DataPlace, Dataset, DatasetError};
use crate::model::{LayerParameters, ModelError, NetworkConfig, NetworkParameters};
use crate::session::model_from_json;
use capture::Precision;
use capture::{CaptureFiles, ReadCaptureError};

/// Why a network cannot be rebuilt.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// The capture, or its weights, cannot be read.
    #[error(transparent)]
    Capture(#[from] ReadCaptureError),
    /// `run.json` describes a network that cannot be rebuilt.
    #[error("the network cannot be rebuilt: {0}")]
    Unknown(String),
    /// The data set is not what it was.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// The weights are not those of the network.
    #[error(transparent)]
    Model(#[from] ModelError),
}

/// What a capture's network is made of, and what it was evaluated on.
pub(crate) struct Rebuilt {
    pub(crate) config: NetworkConfig,
    pub(crate) parameters: NetworkParameters,
    pub(crate) dataset: Dataset,
    /// Samples in one forward pass over the held-out set.
    pub(crate) batch_size: usize,
    /// In what precision the weights were recorded: of rounded ones the network is not quite the
    /// one that was trained.
    pub(crate) precision: Precision,
}

impl Rebuilt {
    /// Reads a capture's weights, and gets the run's data set from where `place` says it is.
    ///
    /// # Errors
    /// If something that is needed was not recorded, or cannot be read or had.
    pub(crate) fn read(
        run: &RunDir,
        capture: &CaptureFiles<'_>,
        place: &DataPlace,
    ) -> Result<Self, RebuildError> {
        let info = run.info();
        let not_said =
            |what: &str| RebuildError::Unknown(format!("its run.json does not say {what}"));
        if info.model.is_null() {
            return Err(not_said("what it is made of, as that of an imported one"));
        }
        let config = model_from_json(&info.model).map_err(RebuildError::Unknown)?;
        let parameters = parameters(run, capture)?;
        let samples = info.dataset.as_ref();
        let samples = samples.ok_or_else(|| not_said("where its samples come from"))?;
        let seed = info.seed.ok_or_else(|| not_said("its seed"))?;
        let dataset = Dataset::find(samples, seed, place, Some(run.path()))?;
        let batch_size = info
            .evaluation_batch_size
            .and_then(|size| usize::try_from(size).ok())
            .filter(|&size| size > 0)
            .ok_or_else(|| not_said("how large its evaluation batches are"))?;
        Ok(Self {
            config,
            parameters,
            dataset,
            batch_size,
            precision: Precision::of_run(info),
        })
    }
}

/// The weights and biases of every layer.
fn parameters(
    run: &RunDir,
    capture: &CaptureFiles<'_>,
) -> Result<NetworkParameters, ReadCaptureError> {
    let layers = run.info().layers.layers().iter().map(|layer| {
        let column = |name: &str| {
            let mut values = Vec::new();
            let is_there = capture.visit_weights(layer, name, |read| {
                values.extend_from_slice(read);
                Ok::<(), ReadCaptureError>(())
            })?;
            let label = layer.layer.as_str();
            match name {
                _ if is_there => Ok(values),
                "weights" => Err(ReadCaptureError::StatisticsOnly {
                    capture: capture.id(),
                    layer: label.to_owned(),
                }),
                _ => Err(capture.not_recorded(Table::Weights, Some(label))),
            }
        };
        Ok(LayerParameters {
            weights: column("weights")?,
            bias: column("bias")?,
        })
    });
    Ok(NetworkParameters {
        layers: layers.collect::<Result<_, ReadCaptureError>>()?,
    })
}
