//! How a data set is asked for.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{DatasetError, DatasetKind};

/// The share of a file's samples that is held out, unless told otherwise.
pub const DEFAULT_HELD_OUT_SHARE: f64 = 0.2;

/// Where standard input is a file.
const STANDARD_INPUT: &str = "/dev/stdin";

/// Among [`FileSpec::categorical`], stands for every column that has texts.
pub const ALL_TEXTS: &str = "*";

/// The format of a file of data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileFormat {
    /// Comma-separated values below a line of column names.
    Csv,
    /// Parquet with plain columns.
    Parquet,
    /// IDX, the format of MNIST's own files: images in one file, labels in another.
    Idx,
}

impl FileFormat {
    /// Every format.
    pub const ALL: [Self; 3] = [Self::Csv, Self::Parquet, Self::Idx];

    /// The word before the colon on the command line, and the data set's kind in `run.json`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Parquet => "parquet",
            Self::Idx => "idx",
        }
    }

    /// The format of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.as_str() == name)
    }
}

/// Where samples come from: `digits`, `notebook`, or a file, as `csv:iris.csv`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatasetSource {
    /// A built-in data set.
    BuiltIn(DatasetKind),
    /// A file, or, for IDX, a directory of files.
    File(FileFormat, PathBuf),
}

impl FromStr for DatasetSource {
    type Err = DatasetError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Some((name, path)) = text.split_once(':') else {
            return text.parse().map(Self::BuiltIn);
        };
        match FileFormat::named(name) {
            // As programs that read from a pipe have it.
            Some(format) if path == "-" => Ok(Self::File(format, STANDARD_INPUT.into())),
            Some(format) if !path.is_empty() => Ok(Self::File(format, path.into())),
            _ => Err(DatasetError::UnknownKind(text.to_owned())),
        }
    }
}

impl fmt::Display for DatasetSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn(kind) => f.write_str(kind.as_str()),
            Self::File(format, path) => write!(f, "{}:{}", format.as_str(), path.display()),
        }
    }
}

/// What is predicted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// One of several classes: softmax, an output a class.
    Classification,
    /// One of two classes, or a probability: sigmoid, one output.
    Binary,
    /// Several labels, each there or not: sigmoid, an output a label.
    MultiLabel,
    /// Numbers: the outputs as they are.
    Regression,
}

impl Task {
    /// Every task.
    pub const ALL: [Self; 4] = [
        Self::Classification,
        Self::Binary,
        Self::MultiLabel,
        Self::Regression,
    ];

    /// The name on the command line and in `run.json`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Classification => "classification",
            Self::Binary => "binary",
            Self::MultiLabel => "multi-label",
            Self::Regression => "regression",
        }
    }
}

impl FromStr for Task {
    type Err = DatasetError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|task| task.as_str() == text);
        found.ok_or_else(|| {
            let names = Self::ALL.map(Self::as_str).join(", ");
            DatasetError::Options(format!("there is no task {text:?}: name one of {names}"))
        })
    }
}

/// What is done to numbers before the network sees them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// Each input, and each number that is predicted, less its mean and divided by its standard
    /// deviation, both of the training samples.
    Standard,
    /// Inputs are divided by 255.
    Pixels,
    /// Nothing.
    None,
}

impl Scale {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Standard, Self::Pixels, Self::None];

    /// The name on the command line and in `run.json`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Pixels => "pixels",
            Self::None => "none",
        }
    }
}

impl FromStr for Scale {
    type Err = DatasetError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|scale| scale.as_str() == text);
        found.ok_or_else(|| {
            let names = Self::ALL.map(Self::as_str).join(", ");
            DatasetError::Options(format!("there is no scale {text:?}: name one of {names}"))
        })
    }
}

/// What is done about values that are missing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// The data is refused, and every column that lacks values is named.
    #[default]
    Error,
    /// Samples that lack a value are left out.
    Drop,
    /// An input that is missing is the mean of that input over the samples that are trained on; of
    /// categories, the share that each has among them. What is predicted has to be there.
    Mean,
}

impl Missing {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Error, Self::Drop, Self::Mean];

    /// The name on the command line and in `run.json`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Drop => "drop",
            Self::Mean => "mean",
        }
    }
}

impl FromStr for Missing {
    type Err = DatasetError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL
            .into_iter()
            .find(|missing| missing.as_str() == text);
        found.ok_or_else(|| {
            let names = Self::ALL.map(Self::as_str).join(", ");
            DatasetError::Options(format!("{text:?} is none of {names}"))
        })
    }
}

/// Which samples are held out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeldOutRule {
    /// That share of the samples, above 0 and below 1, drawn with the seed; where there are classes,
    /// of each of them.
    Share(f64),
    /// All samples of another file.
    File(PathBuf),
}

impl FromStr for HeldOutRule {
    type Err = DatasetError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let percent = text.strip_suffix('%').map(str::parse::<f64>);
        if let Some(Ok(percent)) = percent {
            return Err(DatasetError::Options(format!(
                "{text} is no share of the samples: give a number between 0 and 1, as {}",
                percent / 100.0
            )));
        }
        match text.parse::<f64>() {
            Err(_) if text.is_empty() => Err(DatasetError::Options("it names no file".to_owned())),
            Err(_) => Ok(Self::File(text.into())),
            Ok(share) if share > 0.0 && share < 1.0 => Ok(Self::Share(share)),
            Ok(_) => Err(DatasetError::Options(format!(
                "{text} is no share of the samples: give a number between 0 and 1, as 0.2, or a file"
            ))),
        }
    }
}

/// A file of data, and how it is read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FileSpec {
    /// The file's format.
    pub format: FileFormat,
    /// The file; for IDX also the directory that has it under its usual name.
    pub path: PathBuf,
    /// The columns that are predicted; none for IDX.
    pub targets: Vec<String>,
    /// Columns that are left out.
    pub ignored: Vec<String>,
    /// Columns that are inputs although they look like numbers of the rows.
    #[serde(default)]
    pub kept: Vec<String>,
    /// Columns that are left out since they say no more of a sample than its place in the file;
    /// none where the file is still to show which those are.
    #[serde(default)]
    pub left_out: Option<Vec<String>>,
    /// Columns that are categories, each of which becomes an input that is 0 or 1;
    /// [`ALL_TEXTS`] stands for every column of texts.
    #[serde(default)]
    pub categorical: Vec<String>,
    /// What is done about values that are missing.
    #[serde(default)]
    pub missing: Missing,
    /// Texts that are values although they look like missing ones, as `NA`.
    #[serde(default)]
    pub not_missing: Vec<String>,
    /// Of CSV, what stands between values; none for what the first line shows.
    #[serde(default)]
    pub delimiter: Option<char>,
    /// Of CSV, the decimal point of its numbers; none for what they show.
    #[serde(default)]
    pub decimal: Option<char>,
    /// What is predicted; none for what the targets look like.
    pub task: Option<Task>,
    /// What is held out; none for the test set that an IDX directory has, else for
    /// [`DEFAULT_HELD_OUT_SHARE`].
    pub held_out: Option<HeldOutRule>,
    /// Of IDX, the file of labels; none for the one whose name goes with the images'.
    pub labels: Option<PathBuf>,
    /// Of IDX, the file of the held-out samples' labels, likewise.
    pub held_out_labels: Option<PathBuf>,
    /// What is done to the numbers; none for [`Scale::Pixels`] of IDX, else [`Scale::Standard`].
    pub scale: Option<Scale>,
}

impl FileSpec {
    /// A file that is read as it looks.
    pub fn new(format: FileFormat, path: impl Into<PathBuf>, targets: &[&str]) -> Self {
        Self {
            format,
            path: path.into(),
            targets: targets.iter().copied().map(str::to_owned).collect(),
            ignored: Vec::new(),
            kept: Vec::new(),
            left_out: None,
            categorical: Vec::new(),
            missing: Missing::default(),
            not_missing: Vec::new(),
            delimiter: None,
            decimal: None,
            task: None,
            held_out: None,
            labels: None,
            held_out_labels: None,
            scale: None,
        }
    }

    /// Checks what can be known before a file is read.
    ///
    /// # Errors
    /// The first thing that does not go together.
    pub fn check(&self) -> Result<(), DatasetError> {
        let refuse = |problem: String| Err(DatasetError::Options(problem));
        if self.format == FileFormat::Idx {
            if !self.targets.is_empty() || !self.ignored.is_empty() {
                return refuse(
                    "idx data has no columns: --target and --ignore are for csv and parquet"
                        .to_owned(),
                );
            }
            let given = [
                ("--keep", !self.kept.is_empty()),
                ("--categorical", !self.categorical.is_empty()),
                ("--missing", self.missing != Missing::Error),
                ("--not-missing", !self.not_missing.is_empty()),
            ];
            if let Some((option, _)) = given.iter().find(|(_, is_given)| *is_given) {
                return refuse(format!(
                    "{option} is for csv and parquet: idx data has no columns, and nothing is \
                     missing in it"
                ));
            }
        } else {
            if self.targets.is_empty() {
                return refuse(format!(
                    "{} data needs --target COLUMN: the column that is to be predicted",
                    self.format.as_str()
                ));
            }
            if self.labels.is_some() || self.held_out_labels.is_some() {
                return refuse(
                    "--labels and --held-out-labels are for idx data: name columns with --target"
                        .to_owned(),
                );
            }
        }
        self.check_dialect()?;
        for column in &self.kept {
            if self.ignored.contains(column) {
                return refuse(format!("column {column:?} cannot be both kept and ignored"));
            }
        }
        for column in &self.categorical {
            if self.targets.contains(column) || self.ignored.contains(column) {
                return refuse(format!(
                    "column {column:?} cannot be categorical: that is for inputs, and it is a \
                     target or ignored"
                ));
            }
        }
        for (index, column) in self.targets.iter().enumerate() {
            if self.targets[..index].contains(column) {
                return refuse(format!("column {column:?} is named twice as a target"));
            }
            if self.ignored.contains(column) {
                return refuse(format!(
                    "column {column:?} cannot be both a target and ignored"
                ));
            }
        }
        if let (true, Some(task @ (Task::Classification | Task::Binary))) =
            (self.targets.len() > 1, self.task)
        {
            return refuse(format!(
                "--task {} takes one --target; with several, it is multi-label or regression",
                task.as_str()
            ));
        }
        if self.held_out_labels.is_some() && !matches!(self.held_out, Some(HeldOutRule::File(_))) {
            return refuse("--held-out-labels goes with --held-out FILE".to_owned());
        }
        Ok(())
    }

    /// Checks what separates the values and the digits of a CSV file.
    fn check_dialect(&self) -> Result<(), DatasetError> {
        let refuse = |problem: String| Err(DatasetError::Options(problem));
        if self.format != FileFormat::Csv && (self.delimiter.is_some() || self.decimal.is_some()) {
            return refuse("--delimiter and --decimal are for csv data".to_owned());
        }
        if let Some(delimiter) = self.delimiter
            && (!delimiter.is_ascii()
                || delimiter.is_alphanumeric()
                || "\"\r\n\0.+-".contains(delimiter))
        {
            return refuse(format!(
                "{delimiter:?} cannot stand between values: give one as , or ; or | or tab"
            ));
        }
        if let Some(decimal) = self.decimal {
            if !matches!(decimal, '.' | ',') {
                return refuse(format!("{decimal:?} is no decimal point: give . or ,"));
            }
            if self.delimiter == Some(decimal) {
                return refuse(format!(
                    "{decimal:?} cannot be both the decimal point and what stands between values"
                ));
            }
        }
        Ok(())
    }

    /// Every path in it, each of which may be another where the data has been moved.
    pub(super) fn paths_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let held_out = match &mut self.held_out {
            Some(HeldOutRule::File(file)) => Some(file),
            _ => None,
        };
        [&mut self.path]
            .into_iter()
            .chain(&mut self.labels)
            .chain(held_out)
            .chain(&mut self.held_out_labels)
    }

    /// The same without its paths.
    pub(super) fn without_places(&self) -> Self {
        let mut spec = self.clone();
        for path in spec.paths_mut() {
            *path = PathBuf::new();
        }
        spec
    }

    /// What the numbers go through.
    pub(super) fn scale(&self) -> Scale {
        self.scale.unwrap_or(match self.format {
            FileFormat::Idx => Scale::Pixels,
            FileFormat::Csv | FileFormat::Parquet => Scale::Standard,
        })
    }
}

/// A data set that is asked for.
#[derive(Debug, Clone, PartialEq)]
pub enum DatasetSpec {
    /// A built-in one.
    BuiltIn(DatasetKind),
    /// One from a file.
    File(Box<FileSpec>),
}

impl From<DatasetKind> for DatasetSpec {
    fn from(kind: DatasetKind) -> Self {
        Self::BuiltIn(kind)
    }
}

impl From<FileSpec> for DatasetSpec {
    fn from(file: FileSpec) -> Self {
        Self::File(Box::new(file))
    }
}

impl DatasetSpec {
    /// How it is asked for on the command line.
    pub fn source(&self) -> DatasetSource {
        match self {
            Self::BuiltIn(kind) => DatasetSource::BuiltIn(*kind),
            Self::File(file) => DatasetSource::File(file.format, file.path.clone()),
        }
    }

    /// The file, where there is one.
    pub fn file(&self) -> Option<&FileSpec> {
        match self {
            Self::BuiltIn(_) => None,
            Self::File(file) => Some(file),
        }
    }

    /// What a run of it is called by default: its name, or its file's without the ending.
    pub fn run_name(&self) -> String {
        let of_file = |path: &Path| {
            let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
            let name = path.file_stem().map(|stem| stem.to_string_lossy());
            name.map_or_else(|| "data".to_owned(), |name| name.into_owned())
        };
        match self {
            Self::BuiltIn(kind) => kind.to_string(),
            Self::File(file) => of_file(&file.path),
        }
    }
}
