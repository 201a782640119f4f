//! The options of `recorder train` that say what data there is.

use std::path::PathBuf;

use clap::Args;
use recorder::{
    ALL_TEXTS, DatasetError, DatasetKind, DatasetSource, DatasetSpec, FileSpec, HeldOutRule,
    Missing, Scale, Task,
};

#[derive(Debug, Args)]
pub(super) struct DataArgs {
    /// The data: digits (8x8 pixels, 10 classes), notebook (20 random inputs, one soft target), or a
    /// file: csv:FILE (also with semicolons or tabs, or packed by gzip) with a line of column names,
    /// parquet:FILE, idx:DIR with MNIST's own files, idx:IMAGES with one
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
    /// A column that is an input although it looks like an index: pandas' own, and one without a name
    /// that counts the rows, are left out otherwise; several times for several
    #[arg(long, value_name = "COLUMN")]
    keep: Vec<String>,
    /// A column that is categories, each of which becomes an input that is 1 for its samples and 0
    /// for others; without a COLUMN every input that is texts; several times for several
    #[arg(long, value_name = "COLUMN", num_args = 0..=1, default_missing_value = ALL_TEXTS)]
    categorical: Vec<String>,
    /// What is done about values that are missing (empty, NA, NaN, ?, null and the like): error
    /// names them, drop leaves their samples out, mean puts the mean of the training samples in
    /// their place [default: error]
    #[arg(long, value_name = "error|drop|mean")]
    missing: Option<Missing>,
    /// A text that is a value although it looks like a missing one, as NA; several times for several
    #[arg(long, value_name = "TEXT")]
    not_missing: Vec<String>,
    /// What stands between the values of csv data: one character, or tab [default: what the first
    /// line shows]
    #[arg(long, value_name = "CHARACTER|tab", value_parser = parse_character)]
    delimiter: Option<char>,
    /// The decimal point of csv data [default: what its numbers show]
    #[arg(long, value_name = ".|,", value_parser = parse_character)]
    decimal: Option<char>,
    /// Where the data of --dataset is now, when --resume goes on with a run whose data was moved: its
    /// checksum has to be the same
    #[arg(long, value_name = "PATH", requires = "resume")]
    data: Option<PathBuf>,
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
                    ("--keep", !self.keep.is_empty()),
                    ("--categorical", !self.categorical.is_empty()),
                    ("--missing", self.missing.is_some()),
                    ("--not-missing", !self.not_missing.is_empty()),
                    ("--delimiter", self.delimiter.is_some()),
                    ("--decimal", self.decimal.is_some()),
                    ("--data", self.data.is_some()),
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
                    path: self.data.as_ref().unwrap_or(path).clone(),
                    targets: self.target.clone(),
                    ignored: self.ignore.clone(),
                    kept: self.keep.clone(),
                    left_out: None,
                    categorical: self.categorical.clone(),
                    missing: self.missing.unwrap_or_default(),
                    not_missing: self.not_missing.clone(),
                    delimiter: self.delimiter,
                    decimal: self.decimal,
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

/// One character, or the word for the one that is hard to type.
fn parse_character(text: &str) -> Result<char, String> {
    let mut characters = text.chars();
    match (text, characters.next(), characters.next()) {
        ("tab" | "\\t", ..) => Ok('\t'),
        (_, Some(character), None) => Ok(character),
        _ => Err("it is one character, or tab".to_owned()),
    }
}
