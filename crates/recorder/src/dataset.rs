//! The data: sets that are built in, and files.

mod columns;
mod csv;
mod decimal;
mod digits;
mod error;
mod file;
mod idx;
mod kind;
mod missing;
mod notebook;
mod packed;
mod parquet;
mod place;
mod raw;
mod samples;
mod scaling;
mod spec;
mod split;
mod table;
mod targets;
mod text;

use std::borrow::Cow;
use std::path::Path;

use capture::{DataRules, HostRng, Purpose};
use trace::{DatasetInfo, Epoch};

use crate::model::ImageShape;

pub use capture::{TargetRows, Targets};
pub use error::{DatasetError, Place};
pub use kind::DatasetKind;
pub use place::DataPlace;
pub use samples::Samples;
pub use spec::{
    ALL_TEXTS, DEFAULT_HELD_OUT_SHARE, DatasetSource, DatasetSpec, FileFormat, FileSpec,
    HeldOutRule, Missing, Scale, Task,
};
pub use targets::MAX_INFERRED_CLASSES;

/// Where the samples that are trained on come from.
#[derive(Debug, Clone)]
enum Training {
    /// The same ones every epoch, in another order.
    Fixed(Samples),
    /// That many new ones every epoch.
    Drawn(usize),
}

/// Samples to train on, and samples held out to see what was learned.
#[derive(Debug, Clone)]
pub struct Dataset {
    info: DatasetInfo,
    training: Training,
    held_out: Samples,
    class_names: Vec<String>,
    /// Names of what is predicted; empty where there are none.
    target_names: Vec<String>,
    /// What image the inputs of a sample are, where that is known.
    image: Option<ImageShape>,
    /// What was done to the data that somebody may not expect.
    notes: Vec<String>,
}

impl Dataset {
    /// Gets a data set. The notebook's has `batch_size` training samples an epoch, so that an
    /// epoch is one step, and its samples follow from `seed`; the digits are always the same.
    ///
    /// # Errors
    /// If the data cannot be read, or `batch_size` is 0 where it counts.
    pub fn load(kind: DatasetKind, seed: u64, batch_size: usize) -> Result<Self, DatasetError> {
        match kind {
            DatasetKind::Digits => digits::load(),
            DatasetKind::Notebook if batch_size == 0 => Err(DatasetError::NoSamples),
            DatasetKind::Notebook => Ok(notebook::load(seed, batch_size)),
        }
    }

    /// Gets the data set that is asked for, as [`Dataset::load`] does for built-in ones.
    ///
    /// A file is read whole. Which of its samples are held out follows from `seed`, unless they are
    /// those of another file. Numbers are scaled by what the samples that are trained on are like.
    ///
    /// # Errors
    /// If the data cannot be read, or has something in it that cannot be learned from: the error
    /// names file, row, column and reason.
    pub fn open(spec: &DatasetSpec, seed: u64, batch_size: usize) -> Result<Self, DatasetError> {
        match spec {
            DatasetSpec::BuiltIn(kind) => Self::load(*kind, seed, batch_size),
            DatasetSpec::File(file) => file::load(file, seed),
        }
    }

    /// Gets the data set that is asked for, as [`Dataset::open`] does, to go on with a run that was recorded with
    /// `recorded`. Where it is the same data, read by the same options, it is prepared as it was then: earlier
    /// versions rounded numbers before they standardised them.
    ///
    /// # Errors
    /// As for [`Dataset::open`].
    pub fn open_again(
        spec: &DatasetSpec,
        seed: u64,
        batch_size: usize,
        recorded: &DatasetInfo,
    ) -> Result<Self, DatasetError> {
        let dataset = Self::open(spec, seed, batch_size)?;
        match spec {
            DatasetSpec::BuiltIn(_) => Ok(dataset),
            DatasetSpec::File(file) => file::prepared_as(dataset, file, seed, recorded),
        }
    }

    /// Gets the data set that a run was recorded with.
    ///
    /// # Errors
    /// If it cannot be read, or is not the same any more.
    pub fn from_info(info: &DatasetInfo, seed: u64) -> Result<Self, DatasetError> {
        Self::find(info, seed, &DataPlace::default(), None)
    }

    /// Gets the data set that a run was recorded with, from where it is now: what `place` says, else
    /// where it was, else where its files lie about the directory `run`. Its checksum decides whether
    /// it is the same, and it is read and scaled as it was.
    ///
    /// # Errors
    /// If it cannot be found or read, or is not the same any more.
    pub fn find(
        info: &DatasetInfo,
        seed: u64,
        place: &DataPlace,
        run: Option<&Path>,
    ) -> Result<Self, DatasetError> {
        let is_file = FileFormat::named(&info.kind).is_some();
        let dataset = if is_file {
            let details = file::details_of(info)?;
            let opened = place::open(info, &details.options, place, run)?;
            opened.prepare(seed, Some(&details))?
        } else if *place == DataPlace::default() {
            let num_train = usize::try_from(info.num_train).unwrap_or(usize::MAX);
            Self::load(info.kind.parse()?, seed, num_train)?
        } else {
            return Err(DatasetError::Options(format!(
                "the run's data is {}, which is built in: --data and --held-out are for files",
                info.kind
            )));
        };
        let same = |field, found: &dyn ToString, expected: &dyn ToString| {
            let (found, expected) = (found.to_string(), expected.to_string());
            if found == expected {
                Ok(())
            } else {
                Err(DatasetError::Changed {
                    name: match is_file {
                        true => info.source.clone(),
                        false => info.kind.clone(),
                    },
                    field,
                    found,
                    expected,
                    advice: "",
                })
            }
        };
        let (found, expected) = (
            file::without_places(&dataset.info),
            file::without_places(info),
        );
        same("held-out rule", &found.held_out, &expected.held_out)?;
        same(
            "number of held-out samples",
            &found.num_held_out,
            &info.num_held_out,
        )?;
        same(
            "number of training samples",
            &found.num_train,
            &info.num_train,
        )?;
        same("checksum", &found.crc32c, &info.crc32c)?;
        Ok(dataset)
    }

    /// A data set of one sample, that is trained on and held out.
    #[cfg(test)]
    pub(crate) fn of_one_sample(inputs: Vec<f32>, targets: Targets) -> Self {
        let num_inputs = inputs.len();
        let sample = Samples::new(inputs, num_inputs, targets);
        Self {
            training: Training::Fixed(sample.clone()),
            held_out: sample,
            ..notebook::load(0, 1)
        }
    }

    /// What `run.json` says of it; [`Dataset::from_info`] finds the data set again.
    pub fn info(&self) -> &DatasetInfo {
        &self.info
    }

    /// What was done to the data, or is odd about it, in sentences for whoever trains on it: columns
    /// that were left out, what stands in for missing values.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The samples that are never trained on.
    pub fn held_out(&self) -> &Samples {
        &self.held_out
    }

    /// Names of the classes, by class.
    pub fn class_names(&self) -> &[String] {
        &self.class_names
    }

    /// Names of what is predicted: the targets' columns, or `label`; empty for built-in data sets.
    pub fn target_names(&self) -> &[String] {
        &self.target_names
    }

    /// What is predicted.
    pub fn task(&self) -> Task {
        match &self.held_out.targets() {
            Targets::Classes(_) => Task::Classification,
            Targets::Soft(_) => Task::Binary,
            Targets::Labels(_) => Task::MultiLabel,
            Targets::Values(_) => Task::Regression,
        }
    }

    /// Number of inputs of a sample.
    pub fn num_inputs(&self) -> usize {
        self.held_out.num_inputs()
    }

    /// What image the inputs of a sample are; none where that is not known.
    pub fn image(&self) -> Option<ImageShape> {
        self.image
    }

    /// Number of outputs that a network for it has.
    pub fn num_outputs(&self) -> usize {
        match &self.held_out.targets() {
            Targets::Classes(_) => self.class_names.len(),
            Targets::Soft(_) => 1,
            Targets::Labels(rows) | Targets::Values(rows) => rows.width,
        }
    }

    /// Number of samples trained on in an epoch.
    pub fn num_train(&self) -> usize {
        match &self.training {
            Training::Fixed(samples) => samples.len(),
            Training::Drawn(num_samples) => *num_samples,
        }
    }

    /// Number of optimizer steps in an epoch; the last batch may be a short one.
    ///
    /// # Panics
    /// If `batch_size` is 0.
    pub fn num_steps(&self, batch_size: usize) -> usize {
        self.num_train().div_ceil(batch_size)
    }

    /// The batches of an epoch: they follow from `seed` and `epoch` alone.
    ///
    /// # Panics
    /// If `batch_size` is 0.
    pub fn train_batches(
        &self,
        seed: u64,
        epoch: Epoch,
        batch_size: usize,
    ) -> impl Iterator<Item = Samples> + '_ {
        let (samples, order) = match &self.training {
            Training::Fixed(samples) => {
                let mut rng = HostRng::new(seed, Purpose::Shuffle, epoch, 0);
                (Cow::Borrowed(samples), rng.permutation(samples.len()))
            }
            Training::Drawn(num_samples) => {
                let mut rng = HostRng::new(seed, Purpose::TrainSamples, epoch, 0);
                let drawn = notebook::draw(&mut rng, *num_samples);
                (Cow::Owned(drawn), (0..*num_samples).collect())
            }
        };
        (0..self.num_steps(batch_size)).map(move |step| {
            let first = step * batch_size;
            samples.select(&order[first..order.len().min(first + batch_size)])
        })
    }
}

/// What of a data set's description does not depend on where its files are: two are of the same data,
/// read in the same way, if this is the same.
pub(crate) const DATA_RULES: DataRules = DataRules {
    is_files: |kind| FileFormat::named(kind).is_some(),
    without_places: file::without_places,
};

#[cfg(test)]
mod tests;
