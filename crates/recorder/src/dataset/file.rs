//! From a file of data to samples: what is held out, what the network sees, and what `run.json` says
//! of it.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use trace::{Crc32c, DatasetInfo};

use super::raw::{RawTable, ReadFile, as_argument, refuse};
use super::scaling::{Layout, Rows, Scaling, Standard, Taken, indistinct};
use super::spec::{DEFAULT_HELD_OUT_SHARE, FileFormat, FileSpec, HeldOutRule, Missing, Scale};
use super::split::{draw_held_out, strata};
use super::targets::{RawTargets, Scheme, infer};
use super::{Dataset, DatasetError, Samples, TargetRows, Targets, Training, csv, idx, parquet};

/// What `run.json` says beyond what every data set has: enough to make the same samples again, and
/// to prepare others as these were.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Details {
    /// Complete: nothing is left to what the data looks like.
    pub(super) options: FileSpec,
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

/// What `run.json` says of how the file was read.
///
/// # Errors
/// If that is not there, or is not understood.
pub(super) fn details_of(info: &DatasetInfo) -> Result<Details, DatasetError> {
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
pub(super) fn without_places(info: &DatasetInfo) -> DatasetInfo {
    let mut info = info.clone();
    let Ok(mut details) = details_of(&info) else {
        return info;
    };
    for path in details.options.paths_mut() {
        *path = PathBuf::new();
    }
    if let Some(HeldOutRule::File(_)) = details.options.held_out {
        info.held_out = "all of a file".to_owned();
    }
    info.source = String::new();
    info.details = serde_json::to_value(&details).ok();
    info
}

pub(super) fn load(spec: &FileSpec, seed: u64) -> Result<Dataset, DatasetError> {
    Opened::open(spec)?.prepare(seed, None)
}

/// The bytes of the files that are asked for.
pub(super) struct Opened {
    spec: FileSpec,
    /// With every path absolute, and every file named.
    resolved: FileSpec,
    /// Samples, their labels where those have a file, held-out ones, and theirs.
    files: Vec<(PathBuf, Vec<u8>)>,
    crc32c: Crc32c,
}

impl Opened {
    /// Reads the files.
    pub(super) fn open(spec: &FileSpec) -> Result<Self, DatasetError> {
        spec.check()?;
        let mut resolved = spec.clone();
        let mut paths = Vec::new();
        match spec.format {
            FileFormat::Idx => {
                let (train, held_out) = idx::find(spec)?;
                resolved.labels = Some(train.labels.clone());
                if let Some(pair) = &held_out {
                    resolved.held_out = Some(HeldOutRule::File(pair.images.clone()));
                    resolved.held_out_labels = Some(pair.labels.clone());
                }
                for pair in [Some(train), held_out].into_iter().flatten() {
                    paths.extend([pair.images, pair.labels]);
                }
            }
            FileFormat::Csv | FileFormat::Parquet => {
                paths.push(spec.path.clone());
                if let Some(HeldOutRule::File(file)) = &spec.held_out {
                    paths.push(file.clone());
                }
            }
        }
        for path in resolved.paths_mut() {
            *path = absolute(path)?;
        }
        let mut crc32c = Crc32c::of(&[]);
        let mut files = Vec::with_capacity(paths.len());
        for path in paths {
            let bytes = read(&path)?;
            crc32c = crc32c.append(&bytes);
            files.push((path, bytes));
        }
        Ok(Self {
            spec: spec.clone(),
            resolved,
            files,
            crc32c,
        })
    }

    /// The checksum of all bytes, one file after the other.
    pub(super) fn crc32c(&self) -> Crc32c {
        self.crc32c
    }

    /// What the files say: what is trained on, and what is held out where that is a file's.
    fn tables(&mut self) -> Result<(RawTable, Option<RawTable>), DatasetError> {
        let mut files = std::mem::take(&mut self.files).into_iter();
        let mut next = || files.next();
        let expected = "every file was opened";
        let (train, held_out) = match self.spec.format {
            FileFormat::Idx => {
                let mut pair = || -> Result<Option<RawTable>, DatasetError> {
                    let Some((images, of_images)) = next() else {
                        return Ok(None);
                    };
                    let (labels, of_labels) = next().expect(expected);
                    let pair = idx::Pair { images, labels };
                    idx::read(&pair, &of_images, &of_labels).map(Some)
                };
                (pair()?.expect(expected), pair()?)
            }
            format => {
                let read = |file: &Path, bytes: Vec<u8>, spec: &FileSpec| match format {
                    FileFormat::Csv => csv::read(file, bytes, spec),
                    _ => parquet::read(file, bytes.into(), spec),
                };
                let (file, bytes) = next().expect(expected);
                let ReadFile {
                    table: train,
                    resolved: how,
                    mut unknown,
                } = read(&file, bytes, &self.spec)?;
                let held_out = match next() {
                    Some((file, bytes)) => {
                        let held_out = read(&file, bytes, &how)?;
                        let is_unknown = |name: &String| {
                            held_out.unknown.iter().any(|(unknown, _)| unknown == name)
                        };
                        unknown.retain(|(name, _)| is_unknown(name));
                        Some(held_out.table)
                    }
                    None => None,
                };
                if let Some((_, error)) = unknown.into_iter().next() {
                    return Err(error);
                }
                self.resolved = FileSpec {
                    path: std::mem::take(&mut self.resolved.path),
                    held_out: self.resolved.held_out.take(),
                    ..how
                };
                (train, held_out)
            }
        };
        for table in [Some(&train), held_out.as_ref()].into_iter().flatten() {
            if table.num_rows() == 0 {
                return Err(refuse(&table.file, "it has no samples"));
            }
        }
        Ok((train, held_out))
    }

    /// Makes samples of what the files say: as `recorded` has it, where a run is read again.
    pub(super) fn prepare(
        mut self,
        seed: u64,
        recorded: Option<&Details>,
    ) -> Result<Dataset, DatasetError> {
        let (train, held_out) = self.tables()?;
        let spec = &self.spec;
        let task = spec.task.map_or_else(|| infer(&train), Ok)?;
        let scheme = Scheme::derive(task, &train)?;
        let targets = scheme.encode(&train)?;
        let layout = Layout::of(&train);
        let rows = layout.rows(&train)?;
        let mut notes = train.notes.clone();
        notes.extend(layout.notes());

        let num_rows = train.num_rows();
        let (trained_on, of_held_out, rule) = match &held_out {
            Some(table) => {
                same_columns(&train, table)?;
                let rule = format!("all of {}", absolute(&table.file)?.display());
                (
                    (0..num_rows).collect(),
                    (0..table.num_rows()).collect(),
                    rule,
                )
            }
            None => {
                let share = match spec.held_out {
                    Some(HeldOutRule::Share(share)) => share,
                    _ => DEFAULT_HELD_OUT_SHARE,
                };
                self.resolved.held_out = Some(HeldOutRule::Share(share));
                let strata = strata(&targets, num_rows);
                let by_class = if strata.len() > 1 { ", by class" } else { "" };
                let rule = format!("{share} drawn with the seed{by_class}");
                let drawn = draw_held_out(strata, share, seed);
                if drawn.is_empty() {
                    let problem = "it has too few samples to hold any of them out";
                    return Err(refuse(&train.file, problem));
                }
                let is_kept = |row: &usize| drawn.binary_search(row).is_err();
                let kept: Vec<usize> = (0..num_rows).filter(is_kept).collect();
                (kept, drawn, rule)
            }
        };

        let scale = spec.scale();
        let scaling = match recorded {
            Some(details) => details.scaling(scale, layout.width()),
            None => Some(Scaling::fit(
                &layout,
                &rows,
                &trained_on,
                (scale, spec.missing),
            )),
        };
        let scaling = scaling.ok_or_else(|| {
            DatasetError::Options(format!(
                "run.json does not say how the {} inputs of {} were prepared",
                layout.width(),
                train.file.display()
            ))
        })?;
        check_fill(&train, &layout, &scaling)?;
        let (held_rows, held_targets) = match &held_out {
            Some(table) => {
                let prefix = |note: &String| format!("{}: {note}", table.file.display());
                notes.extend(table.notes.iter().map(prefix));
                (layout.rows(table)?, Some(scheme.encode(table)?))
            }
            None => (layout.rows(&train)?, None),
        };
        if spec.format != FileFormat::Idx && scale != Scale::Standard {
            notes.extend(indistinct(&layout, &rows, num_rows).iter().map(|name| {
                format!(
                    "warning: values of {name:?} differ and are one once they are 32-bit floats, \
                     which is what the network sees: --scale standard tells them apart"
                )
            }));
        }
        let make = |targets: Targets, rows: &Rows<'_>, chosen: &[usize]| {
            let inputs = scaling.apply(&layout, rows, chosen)?;
            Ok::<_, DatasetError>(Samples::new(inputs, layout.width(), targets))
        };
        let of_targets = match recorded {
            Some(details) => details.targets.standard.clone(),
            None => standard_of(&targets, &trained_on, scale),
        };
        let finish = |targets: &RawTargets, chosen: &[usize]| {
            chosen_targets(targets, chosen, of_targets.as_ref(), scaling.taken)
        };
        let train_samples = make(finish(&targets, &trained_on), &rows, &trained_on)?;
        let of_held = held_targets.as_ref().unwrap_or(&targets);
        let held_samples = make(finish(of_held, &of_held_out), &held_rows, &of_held_out)?;

        self.resolved.task = Some(task);
        self.resolved.scale = Some(scale);
        let target_names: Vec<String> = train.targets.iter().map(|t| t.name.clone()).collect();
        let details = Details {
            options: self.resolved,
            values: scaling.taken,
            inputs: Prepared {
                names: layout.names(),
                standard: scaling.standard.clone(),
                fill: scaling.fill.clone(),
            },
            targets: Prepared {
                names: target_names.clone(),
                standard: of_targets,
                fill: None,
            },
        };
        let source = details.options.path.display().to_string();
        let kind = details.options.format.as_str().to_owned();
        let details = serde_json::to_value(&details).expect("paths are texts, as was checked");
        Ok(Dataset {
            info: DatasetInfo {
                kind,
                source,
                crc32c: self.crc32c,
                num_train: train_samples.len() as u64,
                num_held_out: held_samples.len() as u64,
                held_out: rule,
                details: Some(details),
            },
            training: Training::Fixed(train_samples),
            held_out: held_samples,
            class_names: scheme.class_names(),
            target_names,
            image: train.image,
            notes,
        })
    }
}

impl Details {
    /// What was done to so many inputs; none where the description is of others.
    fn scaling(&self, scale: Scale, width: usize) -> Option<Scaling> {
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
}

/// Checks that every column has a value to stand in for those that are missing.
fn check_fill(table: &RawTable, layout: &Layout, scaling: &Scaling) -> Result<(), DatasetError> {
    let fill = scaling.fill.iter().flatten();
    match layout
        .names()
        .into_iter()
        .zip(fill)
        .find(|(_, mean)| mean.is_nan())
    {
        None => Ok(()),
        Some((name, _)) => {
            let problem = format!(
                "no sample that is trained on has a value of it, so there is no mean: --ignore {} \
                 leaves the column out",
                as_argument(&name)
            );
            Err(DatasetError::Refused {
                file: table.file.clone(),
                place: None,
                column: Some(name),
                problem,
            })
        }
    }
}

/// How numbers that are predicted are standardised, as inputs are: Adam would take long to come near
/// those that are far from 0.
fn standard_of(targets: &RawTargets, trained_on: &[usize], scale: Scale) -> Option<Standard> {
    match (targets, scale) {
        (RawTargets::Values { values, width }, Scale::Standard) => {
            Some(Standard::fit(*width, trained_on, |row, out| {
                out.copy_from_slice(&values[row * width..(row + 1) * width]);
            }))
        }
        _ => None,
    }
}

fn chosen_targets(
    targets: &RawTargets,
    chosen: &[usize],
    standard: Option<&Standard>,
    taken: Taken,
) -> Targets {
    match targets {
        RawTargets::Ready(targets) => targets.select(chosen),
        RawTargets::Values { values, width } => {
            let row = |&row: &usize| &values[row * width..(row + 1) * width];
            let mut chosen: Vec<f64> = chosen.iter().flat_map(row).copied().collect();
            if taken == Taken::F32 {
                chosen
                    .iter_mut()
                    .for_each(|value| *value = f64::from(*value as f32));
            }
            if let Some(standard) = standard {
                standard.apply(&mut chosen);
            }
            Targets::Values(TargetRows {
                values: chosen.into_iter().map(|value| value as f32).collect(),
                width: *width,
            })
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, DatasetError> {
    if path.is_dir() {
        return Err(refuse(path, "it is a directory: name one file"));
    }
    std::fs::read(path).map_err(|source| DatasetError::Read {
        file: path.to_owned(),
        source,
    })
}

/// The path from the root, so that a replay finds the file from anywhere.
fn absolute(path: &Path) -> Result<PathBuf, DatasetError> {
    let absolute = std::path::absolute(path).map_err(|source| DatasetError::Read {
        file: path.to_owned(),
        source,
    })?;
    if absolute.to_str().is_none() {
        return Err(refuse(
            path,
            "the path is no UTF-8 text, which run.json needs",
        ));
    }
    Ok(absolute)
}

fn same_columns(train: &RawTable, held_out: &RawTable) -> Result<(), DatasetError> {
    let source = train.file.display();
    if train.inputs.len() != held_out.inputs.len() {
        let (found, expected) = (held_out.inputs.len(), train.inputs.len());
        let problem = format!(
            "a sample has {found} inputs, in {source} it has {expected}{}",
            difference(train, held_out)
        );
        return Err(refuse(&held_out.file, problem));
    }
    let columns = held_out.inputs.iter().zip(&train.inputs);
    for (found, expected) in columns {
        let (found, expected) = (&found.name, &expected.name);
        if found != expected {
            let problem = format!(
                "column {found:?} stands where {source} has {expected:?}: both need the same columns \
                 in the same order"
            );
            return Err(refuse(&held_out.file, problem));
        }
    }
    Ok(())
}

/// Which column one of two tables has and the other has not, as a part of a sentence.
fn difference(train: &RawTable, held_out: &RawTable) -> String {
    let names = |table: &RawTable| -> std::collections::HashSet<String> {
        table
            .inputs
            .iter()
            .map(|column| column.name.clone())
            .collect()
    };
    let (of_train, of_held_out) = (names(train), names(held_out));
    let mut more = held_out.inputs.iter().map(|column| &column.name);
    let mut fewer = train.inputs.iter().map(|column| &column.name);
    let more = more.find(|name| !of_train.contains(*name));
    let fewer = fewer.find(|name| !of_held_out.contains(*name));
    match (more, fewer) {
        (Some(name), _) => format!(
            ": it has also {name:?}, which --ignore {} leaves out",
            as_argument(name)
        ),
        (None, Some(name)) => format!(": it has no {name:?}"),
        (None, None) => String::new(),
    }
}

#[cfg(test)]
mod tests;
