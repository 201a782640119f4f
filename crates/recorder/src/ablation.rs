//! The causal test: a network without some of its neurons, and what it loses by that.
//!
//! The network of a capture is rebuilt from the trace and runs over the held-out samples, as a
//! replay does: as it was, with the neurons silenced, and with as many random neurons of the same
//! layers silenced in their place, again and again. What silencing the neurons costs beyond what
//! silencing any does is what they are for (a permutation test over sets of neurons: Phipson and
//! Smyth, "Permutation p-values should never be zero", 2010).

mod figures;
mod neurons;
mod rows;
mod silence;
mod tallies;

use std::path::PathBuf;

use analysis::Half;
use burn::tensor::backend::ExecutionError;
use trace::{CaptureId, DerivedError, Nonce, RunDir};

use crate::dataset::DataPlace;
use crate::device::{DeviceChoice, ParseDeviceError, ResolvedDevice, on_device};
use crate::model::ModelError;
use crate::rebuild::{RebuildError, Rebuilt};
use crate::training::TrainError;
use capture::Precision;
use capture::target_classes;
use capture::{CaptureChoice, CaptureFiles};
use capture::{HostRng, Purpose};

pub use figures::{AblationMetric, Figure, Predicted, SampleGroup};
pub use neurons::{ChosenNeurons, LayerNeurons, NeuronsError};
pub use silence::Silencing;
use silence::{Outcome, UnitSet, run_silenced};
use tallies::{Question, Tallies, num_classes};

/// Draws of random neurons, unless told otherwise.
pub const DEFAULT_DRAWS: usize = 100;

/// What is silenced, and how it is judged.
#[derive(Debug, Clone, PartialEq)]
pub struct AblationOptions {
    /// The capture that is rebuilt.
    pub capture: CaptureChoice,
    /// What is silenced.
    pub neurons: ChosenNeurons,
    /// What a silenced neuron's value is.
    pub silencing: Silencing,
    /// How often as many random neurons are silenced instead.
    pub num_draws: usize,
    /// The halves and the random neurons follow from it; none for that of the structure, or of the
    /// run where it has none.
    pub seed: Option<u64>,
    /// The held-out samples; none for those that the structure was not found on, or all.
    pub half: Option<Half>,
    /// The class that the neurons are said to go with; none for the structure's, if it has one.
    pub class: Option<i32>,
    /// Where the run's data is, where that is not where it was.
    pub data: DataPlace,
}

impl AblationOptions {
    /// Sets these neurons of a capture to zero, and judges it on all held-out samples.
    pub fn new(capture: CaptureChoice, neurons: ChosenNeurons) -> Self {
        Self {
            capture,
            neurons,
            silencing: Silencing::Zero,
            num_draws: DEFAULT_DRAWS,
            seed: None,
            half: None,
            class: None,
            data: DataPlace::default(),
        }
    }
}

/// What an ablation showed.
#[derive(Debug, Clone, PartialEq)]
pub struct AblationReport {
    /// The capture that was rebuilt.
    pub capture: CaptureId,
    /// The device that it was rebuilt on.
    pub device: String,
    /// The device that was recorded on and why it could not be taken, where that is another.
    pub other_device: Option<String>,
    /// In what precision the weights were recorded.
    pub precision: Precision,
    /// The silenced structure; none where neurons were named.
    pub name: Option<String>,
    /// The class that the neurons are said to go with.
    pub of_class: Option<i32>,
    /// The silenced neurons, by layer.
    pub layers: Vec<LayerNeurons>,
    /// What their value was.
    pub silencing: Silencing,
    /// The held-out samples that were looked at.
    pub half: Half,
    /// The ones that the structure was found on, if that is known.
    pub found_on: Option<Half>,
    /// What halves and random neurons followed from.
    pub seed: u64,
    /// How many samples they were.
    pub num_samples: usize,
    /// How often random neurons were silenced.
    pub num_draws: usize,
    /// Names of the classes; empty where there are none.
    pub class_names: Vec<String>,
    /// What was measured.
    pub figures: Vec<Figure>,
    /// The number of the commit that keeps it in the table `ablations`.
    pub commit: u64,
}

impl AblationReport {
    /// The silenced neurons, ascending.
    pub fn neurons(&self) -> Vec<i32> {
        let of_layers = self.layers.iter();
        of_layers.flat_map(LayerNeurons::neurons).collect()
    }
}

/// Why neurons cannot be silenced.
#[derive(Debug, thiserror::Error)]
pub enum AblateError {
    /// The network cannot be rebuilt.
    #[error(transparent)]
    Rebuild(#[from] RebuildError),
    /// There are no such neurons, or no others to compare them with.
    #[error(transparent)]
    Neurons(#[from] NeuronsError),
    /// There is no such class.
    #[error("there is no class {class}: {}", describe_classes(.num_classes))]
    NoSuchClass {
        /// The class.
        class: i32,
        /// How many there are.
        num_classes: usize,
    },
    /// There are too few samples for halves.
    #[error("the {half} half of the {num_held_out} held-out samples is empty: say --half all")]
    NoSamples {
        /// The half.
        half: Half,
        /// How many are held out.
        num_held_out: usize,
    },
    /// `run.json` names no device.
    #[error(transparent)]
    ParseDevice(#[from] ParseDeviceError),
    /// The device failed.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// The operating system has no randomness to name the ablation by.
    #[error("the operating system gives no random numbers")]
    NoRandomness(#[source] std::io::Error),
    /// What was measured cannot be kept.
    #[error("cannot keep what was measured in the run {}", run.display())]
    Publish {
        /// The run.
        run: PathBuf,
        /// Why.
        source: DerivedError,
    },
}

impl From<ExecutionError> for AblateError {
    fn from(error: ExecutionError) -> Self {
        Self::Train(error.into())
    }
}

impl From<ModelError> for AblateError {
    fn from(error: ModelError) -> Self {
        Self::Rebuild(error.into())
    }
}

/// Which classes there are.
fn describe_classes(num_classes: &usize) -> String {
    match num_classes {
        0 => "the network tells no classes apart".to_owned(),
        n => format!("there are 0 to {}", n - 1),
    }
}

/// How far an ablation is: passes over a batch of samples, done and in all.
pub type AblationProgress<'a> = &'a mut dyn FnMut(usize, usize);

/// Silences neurons in the network of an epoch's capture, measures what that costs, and keeps it as
/// rows of the table `ablations`. An ablation that asked the same before is replaced.
///
/// Everything but the device's arithmetic follows from the options and the run, so the same
/// ablation gives the same figures. It is made on the device that was recorded on; where that is not
/// to be had, on the CPU.
///
/// # Errors
/// If the network cannot be rebuilt, there are no such neurons, class or samples, or the rows cannot
/// be published.
pub fn ablate(
    run: &RunDir,
    options: &AblationOptions,
    progress: AblationProgress<'_>,
) -> Result<AblationReport, AblateError> {
    let capture = CaptureFiles::find(run, options.capture).map_err(RebuildError::from)?;
    let epoch = capture.id().epoch;
    let chosen = neurons::choose(run, epoch, &options.neurons, options.num_draws)?;
    let rebuilt = Rebuilt::read(run, &capture, &options.data)?;
    let seed = options.seed.or(chosen.seed).unwrap_or(rebuilt.seed);
    let not_found_on = chosen.found_on.map(Half::other);
    let half = options.half.or(not_found_on).unwrap_or_default();
    let of_class = options.class.or(chosen.class);
    let num_classes = num_classes(&rebuilt.config);
    if let Some(class) = of_class
        && !usize::try_from(class).is_ok_and(|class| class < num_classes)
    {
        return Err(AblateError::NoSuchClass { class, num_classes });
    }

    let mut sets = vec![Vec::new(), units_by_layer(&chosen.layers)];
    for draw in 0..options.num_draws {
        let mut rng = HostRng::new(seed, Purpose::SilencedUnits, epoch, draw as u64);
        let instead = |layer: &LayerNeurons| {
            let units = rng.choose(layer.num_units, layer.units.len());
            (layer.layer_index, units)
        };
        sets.push(chosen.layers.iter().map(instead).collect());
    }
    let targets = rebuilt.dataset.held_out().targets();
    let samples = half.samples(&target_classes(targets), seed);
    if samples.is_empty() {
        return Err(AblateError::NoSamples {
            half,
            num_held_out: targets.len(),
        });
    }
    let question = Question {
        loss: rebuilt.config.loss,
        num_classes,
        of_class,
    };
    let mut tallies = Tallies::new(question, targets, &samples, sets.len());
    let recorded_on = &run.info().device;
    let (device, other_device) = match recorded_on.parse::<DeviceChoice>()?.resolve() {
        Ok(resolution) => (resolution.device, None),
        Err(error) => (ResolvedDevice::Cpu, Some(format!("{recorded_on}: {error}"))),
    };
    let device_name = device.to_string();
    let mut see = |outcome: Outcome| tallies.add(&outcome);
    on_device!(
        device,
        run_silenced(&rebuilt, &sets, options.silencing, &mut see, progress)
    )?;
    let mut report = AblationReport {
        capture: capture.id(),
        device: device_name,
        other_device,
        precision: rebuilt.precision,
        name: chosen.name,
        of_class,
        layers: chosen.layers,
        silencing: options.silencing,
        half,
        found_on: chosen.found_on,
        seed,
        num_samples: samples.len(),
        num_draws: options.num_draws,
        class_names: rebuilt.dataset.class_names().to_vec(),
        figures: tallies.figures(),
        commit: 0,
    };
    let id = Nonce::draw().map_err(AblateError::NoRandomness)?;
    report.commit = rows::publish(run, &report, &id).map_err(|source| AblateError::Publish {
        run: run.path().to_owned(),
        source,
    })?;
    Ok(report)
}

fn units_by_layer(layers: &[LayerNeurons]) -> UnitSet {
    let units = layers.iter();
    units
        .map(|layer| (layer.layer_index, layer.units.clone()))
        .collect()
}

#[cfg(test)]
mod tests;
