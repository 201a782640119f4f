//! The causal test: a network without some of its neurons, and what it loses by that.
//!
//! The network of a capture runs over the held-out samples as it was, with neurons silenced, and with as
//! many random neurons of the same layers silenced in their place, again and again. What silencing the
//! neurons costs beyond what silencing any does is what they are for (a permutation test over sets of
//! neurons: Phipson and Smyth, "Permutation p-values should never be zero", 2010).
//!
//! Everything but the running is here, so that every framework's ablations ask and say the same: an
//! [`AblationPlan`] has the neurons, an [`Ablation`] the sets of units that are silenced one after the other,
//! and what is added up of the outcomes. Whoever has the network runs it, and hands over what it said.

mod figures;
mod neurons;
mod rows;
mod silencing;
mod tallies;

use std::path::PathBuf;

use analysis::Half;
use arrow::array::RecordBatch;
use trace::{CaptureId, DerivedError, Nonce, RunDir};

use crate::capture_files::{CaptureChoice, CaptureFiles};
use crate::evaluation::{Classifications, Loss, Targets, target_classes};
use crate::random::{HostRng, Purpose};

pub use figures::{AblationMetric, Figure, Predicted, SampleGroup};
use neurons::Chosen;
pub use neurons::{ChosenNeurons, LayerNeurons, NeuronsError, neurons_by_layer};
pub use silencing::{Silencing, SilencingError};
use tallies::{Question, Tallies};

/// Draws of random neurons, unless told otherwise.
pub const DEFAULT_DRAWS: usize = 100;

/// What halves and random neurons follow from, where nobody says and the run has no seed.
const DEFAULT_SEED: u64 = 42;

/// What is silenced, and how it is judged.
#[derive(Debug, Clone, PartialEq)]
pub struct AblationOptions {
    /// The capture whose network it is.
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
        }
    }
}

/// Why an ablation cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum AblationError {
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

/// Which classes there are.
fn describe_classes(num_classes: &usize) -> String {
    match num_classes {
        0 => "the network tells no classes apart".to_owned(),
        n => format!("there are 0 to {}", n - 1),
    }
}

/// Units of layers, by the layers' positions, ascending.
pub type UnitSet = Vec<(usize, Vec<usize>)>;

/// What is to be silenced in the network of a capture, whose neurons were found.
#[derive(Debug, Clone)]
pub struct AblationPlan {
    run: RunDir,
    capture: CaptureId,
    chosen: Chosen,
    options: AblationOptions,
}

/// What a network is judged by.
#[derive(Debug, Clone, Copy)]
pub struct Judged<'a> {
    /// What its loss is, and with that what its outputs mean.
    pub loss: Loss,
    /// How many outputs it has.
    pub num_outputs: usize,
    /// The targets of all held-out samples, in their order.
    pub targets: &'a Targets,
}

impl AblationPlan {
    /// Finds the neurons of a capture that the options name; which capture they name is not looked at.
    ///
    /// # Errors
    /// If there are no such neurons, or no others to compare them with.
    pub fn new(
        capture: &CaptureFiles<'_>,
        options: &AblationOptions,
    ) -> Result<Self, NeuronsError> {
        let (run, id) = (capture.run(), capture.id());
        let chosen = neurons::choose(run, id.epoch, &options.neurons, options.num_draws)?;
        Ok(Self {
            run: run.clone(),
            capture: id,
            chosen,
            options: options.clone(),
        })
    }

    /// The capture.
    pub fn capture(&self) -> CaptureId {
        self.capture
    }

    /// What is silenced, by layer, in the topology's order.
    pub fn layers(&self) -> &[LayerNeurons] {
        &self.chosen.layers
    }

    /// On which of the held-out samples it is judged: those that a structure was not found on, if it is not said.
    pub fn half(&self) -> Half {
        let not_found_on = self.chosen.found_on.map(Half::other);
        self.options.half.or(not_found_on).unwrap_or_default()
    }

    /// Draws the random neurons, and chooses the samples that are looked at.
    ///
    /// # Errors
    /// If there is no such class, or there are too few samples.
    pub fn begin(self, judged: Judged<'_>) -> Result<Ablation, AblationError> {
        let (options, chosen) = (&self.options, &self.chosen);
        let seed = options.seed.or(chosen.seed).or(self.run.info().seed);
        let seed = seed.unwrap_or(DEFAULT_SEED);
        let half = self.half();
        let of_class = options.class.or(chosen.class);
        let num_classes = judged.loss.num_classes(judged.num_outputs);
        if let Some(class) = of_class
            && !usize::try_from(class).is_ok_and(|class| class < num_classes)
        {
            return Err(AblationError::NoSuchClass { class, num_classes });
        }
        let samples = half.samples(&target_classes(judged.targets), seed);
        if samples.is_empty() {
            return Err(AblationError::NoSamples {
                half,
                num_held_out: judged.targets.len(),
            });
        }
        let sets = self.sets(seed);
        let question = Question {
            loss: judged.loss,
            num_classes,
            of_class,
        };
        let tallies = Tallies::new(question, judged.targets, &samples, sets.len());
        Ok(Ablation {
            plan: self,
            seed,
            half,
            of_class,
            num_samples: samples.len(),
            sets,
            tallies,
        })
    }

    /// Of the network as it is nothing, then the neurons, then random ones draw by draw.
    fn sets(&self, seed: u64) -> Vec<UnitSet> {
        let layers = self.layers().iter();
        let meant = layers.map(|layer| (layer.layer_index, layer.units.clone()));
        let mut sets = vec![Vec::new(), meant.collect()];
        for draw in 0..self.options.num_draws {
            let epoch = self.capture.epoch;
            let mut rng = HostRng::new(seed, Purpose::SilencedUnits, epoch, draw as u64);
            let instead = |layer: &LayerNeurons| {
                let units = rng.choose(layer.num_units, layer.units.len());
                (layer.layer_index, units)
            };
            sets.push(self.layers().iter().map(instead).collect());
        }
        sets
    }
}

/// An ablation that is being made: the network runs with one set of units silenced after the other.
#[derive(Debug)]
pub struct Ablation {
    plan: AblationPlan,
    seed: u64,
    half: Half,
    of_class: Option<i32>,
    num_samples: usize,
    sets: Vec<UnitSet>,
    tallies: Tallies,
}

impl Ablation {
    /// The sets of units: none, those that are meant, and random ones, draw by draw.
    pub fn sets(&self) -> &[UnitSet] {
        &self.sets
    }

    /// Adds what the network says of a batch of held-out samples, which begins with `first_sample`, with a set
    /// silenced. Of a set, batches come in the samples' order.
    ///
    /// # Panics
    /// If there is no such set.
    pub fn add(&mut self, set: usize, first_sample: usize, rows: &Classifications) {
        self.tallies.add(set, first_sample, rows);
    }

    /// Keeps what was measured as rows of the table `ablations`, once all was added. An ablation that asked
    /// the same before is replaced.
    ///
    /// # Errors
    /// If the rows cannot be published.
    pub fn publish(self) -> Result<AblationFindings, AblationError> {
        let AblationPlan {
            run,
            capture,
            chosen,
            options,
        } = self.plan;
        let mut findings = AblationFindings {
            capture,
            name: chosen.name,
            of_class: self.of_class,
            layers: chosen.layers,
            silencing: options.silencing,
            half: self.half,
            found_on: chosen.found_on,
            seed: self.seed,
            num_samples: self.num_samples,
            num_draws: options.num_draws,
            figures: self.tallies.figures(),
            id: Nonce::draw().map_err(AblationError::NoRandomness)?,
            commit: 0,
        };
        let commit = rows::publish(&run, &findings, findings.rows());
        findings.commit = commit.map_err(|source| AblationError::Publish {
            run: run.path().to_owned(),
            source,
        })?;
        Ok(findings)
    }
}

/// What an ablation showed.
#[derive(Debug, Clone, PartialEq)]
pub struct AblationFindings {
    /// The capture whose network it was.
    pub capture: CaptureId,
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
    /// What was measured.
    pub figures: Vec<Figure>,
    /// What its rows are called in the table `ablations`.
    pub id: Nonce,
    /// The number of the commit that keeps them.
    pub commit: u64,
}

impl AblationFindings {
    /// The silenced neurons, ascending.
    pub fn neurons(&self) -> Vec<i32> {
        let of_layers = self.layers.iter();
        of_layers.flat_map(LayerNeurons::neurons).collect()
    }

    /// As rows of the table `ablations`, a row a figure.
    pub fn rows(&self) -> RecordBatch {
        rows::rows(self, &self.id)
    }

    /// The samples that chose the structure, where some of those that it was judged on are among them.
    pub fn flattered_by(&self) -> Option<Half> {
        self.found_on
            .filter(|&found_on| found_on == Half::All || found_on.other() != self.half)
    }
}

#[cfg(test)]
mod tests;
