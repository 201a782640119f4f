//! What is recorded, when and where to, as Python says it: the words of `recorder train`.

use std::num::NonZeroU32;
use std::path::PathBuf;

use bytesize::ByteSize;
use capture::{
    ActivationDetail, LayerSelection, Limits, MaxOverhead, OnError, Phases, Precision, Recorded,
    Schedule, WeightDetail, WhenFull, checked_part_size,
};
use pyo3::PyResult;
use pyo3::exceptions::PyValueError;
use serde::Deserialize;
use sink::{Compress, MaxPartBytes};
use words::{closest, did_you_mean};

use super::layers::DescribedLayer;

/// What can be recorded.
const TABLES: [&str; 7] = [
    "weights",
    "classifications",
    "activations",
    "metrics",
    "gradients",
    "gradients_applied",
    "moments",
];

/// The most bins of a histogram: more would be as long as the values themselves.
const MAX_BINS: u32 = 1 << 16;

/// What a recorder is started with.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    pub(super) path: PathBuf,
    pub(super) network: Vec<DescribedLayer>,
    pub(super) created_by: String,
    pub(super) device: String,
    pub(super) seed: Option<u64>,
    pub(super) rank: i32,
    pub(super) world_size: u32,
    pub(super) num_epochs: Option<i32>,
    pub(super) num_held_out: Option<usize>,
    pub(super) class_names: Vec<String>,
    pub(super) config: serde_json::Value,
    /// What tells one set of held-out samples from another; null where that is not known.
    pub(super) held_out: serde_json::Value,
    /// The file at whose end is told what was committed.
    pub(super) commits: Option<PathBuf>,
    /// The epoch and step after which a run that is there is gone on with.
    pub(super) resume: Option<(i32, i64)>,
    pub(super) record_initial: bool,
    record: Vec<String>,
    every: String,
    layers: Vec<String>,
    weights: String,
    activations: String,
    gradients: String,
    activation_samples: usize,
    units: Option<u32>,
    precision: String,
    histograms: Option<u32>,
    channel_bytes: Option<Size>,
    compress: Option<String>,
    max_part_bytes: Option<Size>,
    when_full: String,
    max_overhead: Option<Share>,
    max_disk: Option<Size>,
    on_error: String,
}

/// Bytes, as a number or as `20GB`.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Size {
    Bytes(u64),
    Text(String),
}

/// A share, as 0.02 or as `2%`.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Share {
    Number(f64),
    Text(String),
}

impl Settings {
    /// What of each capture is recorded.
    ///
    /// # Errors
    /// If an option says what there is not, or options do not go together.
    pub(super) fn recorded(&self) -> PyResult<Recorded> {
        if self.record.is_empty() {
            let tables = TABLES.join(", ");
            return Err(wrong(format!(
                "record names no table, so that nothing would be recorded: name any of {tables}"
            )));
        }
        for (nth, table) in self.record.iter().enumerate() {
            if !TABLES.contains(&table.as_str()) {
                let tables = TABLES.join(", ");
                let meant = did_you_mean(closest(table, TABLES));
                return Err(wrong(format!(
                    "{table:?} cannot be recorded: record names any of {tables}{meant}"
                )));
            }
            if self.record[..nth].contains(table) {
                return Err(wrong(format!("record names {table} twice")));
            }
        }
        let has = |table: &str| self.record.iter().any(|name| name == table);
        let is_raw = |option: &str, value: &str| {
            let details = [("raw", true), ("stats", false)];
            chosen(option, value, &details)
        };
        if self.activation_samples == 0 {
            return Err(wrong("activation_samples is 1 at least, not 0".to_owned()));
        }
        let of_values = |is_raw| match is_raw {
            true => WeightDetail::Raw,
            false => WeightDetail::Statistics,
        };
        let positive = |option: &str, value: Option<u32>| match value.map(NonZeroU32::new) {
            Some(None) => Err(wrong(format!("{option} is 1 at least, not 0"))),
            value => Ok(value.flatten()),
        };
        let weights = is_raw("weights", &self.weights)?;
        let gradients = is_raw("gradients", &self.gradients)?;
        let activations = is_raw("activations", &self.activations)?;
        let has_gradients = has("gradients") || has("gradients_applied") || has("moments");
        if !gradients && !has_gradients {
            let needed = "gradients=\"stats\" is of gradients and moments, which are not in record";
            return Err(wrong(needed.to_owned()));
        }
        let histograms = positive("histograms", self.histograms)?;
        if histograms.is_some_and(|bins| bins.get() > MAX_BINS) {
            return Err(wrong(format!("histograms has {MAX_BINS} bins at most")));
        }
        if histograms.is_some() && !has("weights") && !has("activations") {
            let needed = "histograms needs weights or activations in record";
            return Err(wrong(needed.to_owned()));
        }
        Ok(Recorded {
            weights: has("weights").then_some(of_values(weights)),
            classifications: has("classifications"),
            activations: has("activations").then_some(match activations {
                true => ActivationDetail::Raw {
                    samples: self.activation_samples,
                },
                false => ActivationDetail::Statistics,
            }),
            metrics: has("metrics"),
            gradients: has("gradients"),
            gradients_applied: has("gradients_applied"),
            moments: has("moments"),
            gradient_detail: of_values(gradients),
            units: positive("units", self.units)?,
            // Training's own batches are not run through hooks.
            phases: Phases::EVAL,
            precision: {
                let precisions = [("f32", Precision::F32), ("f16", Precision::F16)];
                chosen("precision", &self.precision, &precisions)?
            },
            histograms,
        })
    }

    /// When the network is captured.
    ///
    /// # Errors
    /// If that cannot be understood.
    pub(super) fn schedule(&self) -> PyResult<Schedule> {
        self.every.parse().map_err(said)
    }

    /// Which layers are recorded.
    ///
    /// # Errors
    /// If a glob cannot be understood.
    pub(super) fn selection(&self) -> PyResult<LayerSelection> {
        LayerSelection::try_new(&self.layers).map_err(said)
    }

    /// What recording may take.
    ///
    /// # Errors
    /// If an option says what there is not.
    pub(super) fn limits(&self) -> PyResult<Limits> {
        Ok(Limits {
            when_full: {
                let kinds = [
                    ("block", WhenFull::Block),
                    ("thin", WhenFull::Thin),
                    ("drop", WhenFull::Drop),
                ];
                chosen("when_full", &self.when_full, &kinds)?
            },
            on_error: {
                let kinds = [("stop", OnError::Stop), ("continue", OnError::Continue)];
                chosen("on_error", &self.on_error, &kinds)?
            },
            max_overhead: self.max_overhead.as_ref().map(Share::parse).transpose()?,
            max_disk: bytes("max_disk", self.max_disk.as_ref())?,
        })
    }

    /// Memory for rows that wait to be written, where that is said.
    ///
    /// # Errors
    /// If it is no size.
    pub(super) fn channel_bytes(&self) -> PyResult<Option<u64>> {
        bytes("channel_bytes", self.channel_bytes.as_ref())
    }

    /// Which columns are compressed, where that is said.
    ///
    /// # Errors
    /// If it is a word for no such choice.
    pub(super) fn compress(&self) -> PyResult<Option<Compress>> {
        chosen_compress(self.compress.as_deref())
    }

    /// How much of a layer goes into one part file, where that is said.
    ///
    /// # Errors
    /// If it is no size, or too small.
    pub(super) fn max_part_bytes(&self) -> PyResult<Option<MaxPartBytes>> {
        part_size(self.max_part_bytes.as_ref())
    }
}

impl Share {
    fn parse(&self) -> PyResult<MaxOverhead> {
        let text = match self {
            Self::Number(share) => format!("{}%", share * 100.0),
            Self::Text(text) => text.clone(),
        };
        text.parse().map_err(said)
    }
}

/// Which columns are compressed, where a word says so.
///
/// # Errors
/// If it is a word for no such choice.
pub(crate) fn chosen_compress(word: Option<&str>) -> PyResult<Option<Compress>> {
    let chosen = word.map(|word| chosen("compress", word, &Compress::ALL));
    chosen.transpose()
}

/// How much of a layer goes into one part file, where a text says so.
///
/// # Errors
/// If it is no size, or too small.
pub(crate) fn chosen_max_part_bytes(text: Option<String>) -> PyResult<Option<MaxPartBytes>> {
    part_size(text.map(Size::Text).as_ref())
}

fn part_size(size: Option<&Size>) -> PyResult<Option<MaxPartBytes>> {
    let size = bytes("max_part_bytes", size)?.map(checked_part_size);
    let size = size.transpose();
    size.map_err(|error| wrong(format!("max_part_bytes: {error}")))
}

/// One of several values, by its name.
fn chosen<T: Copy>(option: &str, value: &str, all: &[(&str, T)]) -> PyResult<T> {
    if let Some((_, found)) = all.iter().find(|(name, _)| *name == value) {
        return Ok(*found);
    }
    let names: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
    let there_are = names.iter().map(|name| format!("{name:?}"));
    let there_are = there_are.collect::<Vec<_>>().join(" or ");
    let meant = did_you_mean(closest(value, names));
    Err(wrong(format!(
        "{option} is {there_are}, not {value:?}{meant}"
    )))
}

fn bytes(option: &str, size: Option<&Size>) -> PyResult<Option<u64>> {
    match size {
        None => Ok(None),
        Some(Size::Bytes(bytes)) => Ok(Some(*bytes)),
        Some(Size::Text(text)) => match text.parse::<ByteSize>() {
            Ok(size) => Ok(Some(size.as_u64())),
            Err(error) => Err(wrong(format!(
                "{option} is a size as \"20GB\", not {text:?}: {error}"
            ))),
        },
    }
}

fn wrong(message: String) -> pyo3::PyErr {
    PyValueError::new_err(message)
}

fn said(error: impl std::error::Error) -> pyo3::PyErr {
    wrong(crate::error::words(&error))
}
