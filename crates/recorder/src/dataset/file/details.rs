//! What `run.json` says of how a file was read: enough to make the same samples again.

use serde::{Deserialize, Serialize};
use trace::{Crc32c, DatasetInfo};

use crate::dataset::DatasetError;
use crate::dataset::scaling::{Layout, Scaling, Standard, Taken};
use crate::dataset::spec::{FileFormat, FileSpec, HeldOutRule, Missing, Scale};

/// What `run.json` says beyond what every data set has: enough to make the same samples again, and
/// to prepare others as these were.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::dataset) struct Details {
    /// Complete: nothing is left to what the data looks like.
    pub(in crate::dataset) options: FileSpec,
    /// How numbers were taken from the file.
    #[serde(default)]
    values: Taken,
    inputs: Prepared,
    targets: Prepared,
}

/// What was done to some columns.
#[derive(Debug, Serialize, Deserialize)]
struct Prepared {
    /// Empty where they have no names.
    names: Vec<String>,
    /// Column by column; absent where there was no standardisation.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    standard: Option<Standard>,
    /// What stands in for missing values, column by column; absent where nothing does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fill: Option<Vec<f64>>,
}

impl Details {
    /// Of a file that was read by complete options, whose inputs were scaled, and whose targets, of
    /// these names, were standardised where they are numbers.
    pub(super) fn new(
        options: FileSpec,
        layout: &Layout,
        scaling: Scaling,
        target_names: Vec<String>,
        of_targets: Option<Standard>,
    ) -> Self {
        Self {
            options,
            values: scaling.taken,
            inputs: Prepared {
                names: layout.names(),
                standard: scaling.standard,
                fill: scaling.fill,
            },
            targets: Prepared {
                names: target_names,
                standard: of_targets,
                fill: None,
            },
        }
    }

    /// What `run.json` says of a data set: of files with that checksum, of so many samples that are
    /// trained on and held out, by that rule.
    pub(super) fn into_info(
        self,
        crc32c: Crc32c,
        num_train: usize,
        num_held_out: usize,
        held_out: String,
    ) -> DatasetInfo {
        DatasetInfo {
            kind: self.options.format.as_str().to_owned(),
            source: self.options.path.display().to_string(),
            crc32c,
            num_train: num_train as u64,
            num_held_out: num_held_out as u64,
            held_out,
            details: Some(serde_json::to_value(&self).expect("paths are texts, as was checked")),
        }
    }

    /// What was done to so many inputs; none where the description is of others.
    pub(super) fn scaling(&self, scale: Scale, width: usize) -> Option<Scaling> {
        let Prepared { standard, fill, .. } = &self.inputs;
        let fits = |values: &Vec<f64>| values.len() == width;
        let is_whole = match standard {
            Some(Standard { mean, std }) => fits(mean) && fits(std),
            None => scale != Scale::Standard,
        };
        let has_fill = match fill {
            Some(fill) => fits(fill),
            None => self.options.missing != Missing::Mean,
        };
        (is_whole && has_fill).then(|| Scaling {
            taken: self.values,
            scale,
            standard: standard.clone(),
            fill: fill.clone(),
        })
    }

    /// Whether a file was read by the same options, wherever it was, and its numbers were taken otherwise.
    pub(super) fn differs_in_rounding(&self, other: &Self) -> bool {
        let placeless = |details: &Self| details.options.without_places();
        self.values != other.values && placeless(self) == placeless(other)
    }

    /// How numbers that are predicted were standardised, where they were.
    pub(super) fn of_targets(&self) -> Option<Standard> {
        self.targets.standard.clone()
    }
}

/// What `run.json` says of how the file was read.
///
/// # Errors
/// If that is not there, or is not understood.
pub(in crate::dataset) fn details_of(info: &DatasetInfo) -> Result<Details, DatasetError> {
    let details = info.details.clone().unwrap_or_default();
    let details: Result<Details, _> = serde_json::from_value(details);
    let mut details = details.map_err(|error| not_said(info, &error.to_string()))?;
    // Runs of versions that knew no more are read as those read them.
    let options = &mut details.options;
    options.left_out.get_or_insert_with(Vec::new);
    if options.format == FileFormat::Csv {
        options.delimiter.get_or_insert(',');
        options.decimal.get_or_insert('.');
    }
    Ok(details)
}

fn not_said(info: &DatasetInfo, problem: &str) -> DatasetError {
    let source = &info.source;
    DatasetError::Options(format!(
        "run.json does not say how {source} was read: {problem}"
    ))
}

/// What of a data set's description does not depend on where its files are.
pub(in crate::dataset) fn without_places(info: &DatasetInfo) -> DatasetInfo {
    let mut info = info.clone();
    let Ok(mut details) = details_of(&info) else {
        return info;
    };
    details.options = details.options.without_places();
    if let Some(HeldOutRule::File(_)) = details.options.held_out {
        info.held_out = "all of a file".to_owned();
    }
    info.source = String::new();
    info.details = serde_json::to_value(&details).ok();
    info
}
