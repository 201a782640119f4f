//! The options of `recorder train` that say what data there is.

use std::path::PathBuf;

use clap::Args;
use recorder::{
    DatasetError, DatasetKind, DatasetSource, DatasetSpec, FileSpec, HeldOutRule, Scale, Task,
};

#[derive(Debug, Args)]
pub(super) struct DataArgs {
    /// The data: digits (8x8 pixels, 10 classes), notebook (20 random inputs, one soft target), or a
    /// file: csv:FILE with a line of column names, parquet:FILE, idx:DIR with MNIST's own files,
    /// idx:IMAGES with one
    #[arg(
        long,
        default_value_t = DatasetSource::BuiltIn(DatasetKind::Digits),
        value_name = "digits|notebook|csv:FILE|parquet:FILE|idx:DIR"
    )]
    pub(super) dataset: DatasetSource,
    /// The column that is to be predicted, of csv and parquet data; several times for several. All
    /// others are inputs
    #[arg(long, value_name = "COLUMN")]
    target: Vec<String>,
    /// A column that is left out; several times for several
    #[arg(long, value_name = "COLUMN")]
    ignore: Vec<String>,
    /// What is predicted: one of several classes, one of two, several labels that are 0 or 1, or
    /// numbers [default: what the targets look like]
    #[arg(long, value_name = "classification|binary|multi-label|regression")]
    task: Option<Task>,
    /// What is held out: a share of the samples, drawn with the seed, of each class where there are
    /// classes; or all samples of another file [default: 0.2; of idx:DIR its test set]
    #[arg(long, value_name = "SHARE|FILE")]
    held_out: Option<HeldOutRule>,
    /// Of idx data, the file of labels [default: the one whose name goes with the images']
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Of idx data, the file of labels of the images in --held-out, likewise
    #[arg(long, value_name = "FILE")]
    held_out_labels: Option<PathBuf>,
    /// What is done to inputs, and to numbers that are predicted: standard takes off the mean of the
    /// training samples and divides by their standard deviation, pixels divides inputs by 255
    /// [default: standard; of idx data pixels]
    #[arg(long, value_name = "standard|pixels|none")]
    scale: Option<Scale>,
}

impl DataArgs {
    /// The data that is asked for.
    ///
    /// # Errors
    /// If options do not go together.
    pub(super) fn spec(&self) -> Result<DatasetSpec, DatasetError> {
        match &self.dataset {
            DatasetSource::BuiltIn(kind) => {
                let given = [
                    ("--target", !self.target.is_empty()),
                    ("--ignore", !self.ignore.is_empty()),
                    ("--task", self.task.is_some()),
                    ("--held-out", self.held_out.is_some()),
                    ("--labels", self.labels.is_some()),
                    ("--held-out-labels", self.held_out_labels.is_some()),
                    ("--scale", self.scale.is_some()),
                ];
                match given.iter().find(|(_, is_given)| *is_given) {
                    Some((option, _)) => Err(DatasetError::Options(format!(
                        "{option} is for data from a file, as csv:FILE, and not for {kind}"
                    ))),
                    None => Ok(DatasetSpec::BuiltIn(*kind)),
                }
            }
            DatasetSource::File(format, path) => {
                let spec = FileSpec {
                    format: *format,
                    path: path.clone(),
                    targets: self.target.clone(),
                    ignored: self.ignore.clone(),
                    task: self.task,
                    held_out: self.held_out.clone(),
                    labels: self.labels.clone(),
                    held_out_labels: self.held_out_labels.clone(),
                    scale: self.scale,
                };
                spec.check()?;
                Ok(spec.into())
            }
        }
    }

    /// The built-in data set that has the defaults for training: a file is trained on as the digits
    /// are.
    pub(super) fn trained_as(&self) -> DatasetKind {
        match self.dataset {
            DatasetSource::BuiltIn(kind) => kind,
            DatasetSource::File(..) => DatasetKind::Digits,
        }
    }
}
