//! From a file of data to samples: what its targets mean, what is held out, how numbers are scaled.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use trace::{Crc32c, DatasetInfo};

use super::raw::{RawTable, TargetColumn, number, refuse};
use super::spec::{DEFAULT_HELD_OUT_SHARE, FileFormat, FileSpec, HeldOutRule, Scale, Task};
use super::{Dataset, DatasetError, Samples, TargetRows, Targets, Training, csv, idx, parquet};
use crate::random::{HostRng, Purpose};

/// Whole numbers are taken for classes where there are no more than this many different ones.
pub const MAX_INFERRED_CLASSES: usize = 20;

/// What pixels are divided by.
const MAX_PIXEL: f32 = 255.0;

/// What `run.json` says beyond what every data set has: enough to make the same samples again, and
/// to prepare others as these were.
#[derive(Serialize)]
struct Details<'a> {
    /// Complete: nothing is left to what the data looks like.
    options: &'a FileSpec,
    inputs: Columns,
    targets: Columns,
}

#[derive(Serialize)]
struct Columns {
    /// Empty where they have no names.
    names: Vec<String>,
    /// What was done to them, column by column; absent where that was no standardisation.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    standard: Option<Standard>,
}

/// What `run.json` says of how the file was read.
///
/// # Errors
/// If that is not there, or is not understood.
pub(super) fn options_of(info: &DatasetInfo) -> Result<FileSpec, DatasetError> {
    #[derive(Deserialize)]
    struct Options {
        options: FileSpec,
    }
    let details = info.details.clone().unwrap_or_default();
    let options: Result<Options, _> = serde_json::from_value(details);
    options.map(|details| details.options).map_err(|error| {
        let source = &info.source;
        DatasetError::Options(format!(
            "run.json does not say how {source} was read: {error}"
        ))
    })
}

pub(super) fn load(spec: &FileSpec, seed: u64) -> Result<Dataset, DatasetError> {
    spec.check()?;
    let Files {
        train,
        held_out,
        crc32c,
        mut resolved,
    } = Files::read(spec)?;
    let task = spec.task.map_or_else(|| infer(&train), Ok)?;
    let scheme = Scheme::derive(task, &train)?;
    let targets = scheme.encode(&train)?;
    let names = |columns: &[TargetColumn]| columns.iter().map(|c| c.name.clone()).collect();
    let (input_names, target_names): (_, Vec<String>) =
        (train.input_names.clone(), names(&train.targets));

    let image = train.image;

    let (mut train, mut held_out, rule) = match held_out {
        Some(held_out) => {
            same_columns(&train, &held_out)?;
            let rule = format!("all of {}", absolute(&held_out.file)?.display());
            let of_held_out = scheme.encode(&held_out)?;
            let held_out = Samples::new(held_out.inputs, held_out.num_inputs, of_held_out);
            let train = Samples::new(train.inputs, train.num_inputs, targets);
            (train, held_out, rule)
        }
        None => {
            let share = match spec.held_out {
                Some(HeldOutRule::Share(share)) => share,
                _ => DEFAULT_HELD_OUT_SHARE,
            };
            resolved.held_out = Some(HeldOutRule::Share(share));
            let strata = strata(&targets);
            let by_class = if strata.len() > 1 { ", by class" } else { "" };
            let rule = format!("{share} drawn with the seed{by_class}");
            let drawn = draw_held_out(strata, share, seed);
            if drawn.is_empty() {
                let problem = "it has too few samples to hold any of them out";
                return Err(refuse(&train.file, problem));
            }
            let all = Samples::new(train.inputs, train.num_inputs, targets);
            let kept: Vec<usize> = (0..all.len())
                .filter(|row| drawn.binary_search(row).is_err())
                .collect();
            (all.select(&kept), all.select(&drawn), rule)
        }
    };

    let scale = spec.scale();
    let of_inputs = scale_inputs(scale, &mut train, &mut held_out);
    let of_targets = scale_targets(scale, &mut train.targets, &mut held_out.targets);
    resolved.task = Some(task);
    resolved.scale = Some(scale);
    let details = Details {
        options: &resolved,
        inputs: Columns {
            names: input_names,
            standard: of_inputs,
        },
        targets: Columns {
            names: target_names.clone(),
            standard: of_targets,
        },
    };
    let details = serde_json::to_value(&details).expect("paths are texts, as was checked");
    Ok(Dataset {
        info: DatasetInfo {
            kind: spec.format.as_str().to_owned(),
            source: resolved.path.display().to_string(),
            crc32c,
            num_train: train.len() as u64,
            num_held_out: held_out.len() as u64,
            held_out: rule,
            details: Some(details),
        },
        training: Training::Fixed(train),
        held_out,
        class_names: scheme.class_names(),
        target_names,
        image,
    })
}

/// What the files say, and how they were read: with every path absolute, and every file named.
struct Files {
    train: RawTable,
    held_out: Option<RawTable>,
    /// Of the bytes of all files: samples, their labels, held-out ones, and theirs.
    crc32c: Crc32c,
    resolved: FileSpec,
}

impl Files {
    fn read(spec: &FileSpec) -> Result<Self, DatasetError> {
        let mut crc32c = Crc32c::of(&[]);
        let mut bytes = |file: &Path| {
            let bytes = std::fs::read(file).map_err(|source| DatasetError::Read {
                file: file.to_owned(),
                source,
            })?;
            crc32c = crc32c.append(&bytes);
            Ok(bytes)
        };
        let mut resolved = FileSpec {
            path: absolute(&spec.path)?,
            ..spec.clone()
        };
        let (train, held_out) = match spec.format {
            FileFormat::Idx => {
                let (train, held_out) = idx::find(spec)?;
                resolved.labels = Some(absolute(&train.labels)?);
                if let Some(pair) = &held_out {
                    resolved.held_out = Some(HeldOutRule::File(absolute(&pair.images)?));
                    resolved.held_out_labels = Some(absolute(&pair.labels)?);
                }
                let mut read = |pair: idx::Pair| {
                    let (images, labels) = (bytes(&pair.images)?, bytes(&pair.labels)?);
                    idx::read(&pair, &images, &labels)
                };
                (read(train)?, held_out.map(read).transpose()?)
            }
            FileFormat::Csv | FileFormat::Parquet => {
                let mut read = |file: &Path| {
                    let bytes = bytes(file)?;
                    match spec.format {
                        FileFormat::Csv => csv::read(file, &bytes, spec),
                        _ => parquet::read(file, bytes.into(), spec),
                    }
                };
                let train = read(&spec.path)?;
                let held_out = match &spec.held_out {
                    Some(HeldOutRule::File(file)) => {
                        resolved.held_out = Some(HeldOutRule::File(absolute(file)?));
                        Some(read(file)?)
                    }
                    _ => None,
                };
                (train, held_out)
            }
        };
        for table in [Some(&train), held_out.as_ref()].into_iter().flatten() {
            if table.num_rows() == 0 {
                return Err(refuse(&table.file, "it has no samples"));
            }
        }
        Ok(Self {
            train,
            held_out,
            crc32c,
            resolved,
        })
    }
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
    if train.num_inputs != held_out.num_inputs {
        let (found, expected) = (held_out.num_inputs, train.num_inputs);
        let problem = format!("a sample has {found} inputs, in {source} it has {expected}");
        return Err(refuse(&held_out.file, problem));
    }
    let names = held_out.input_names.iter().zip(&train.input_names);
    for (found, expected) in names {
        if found != expected {
            let problem = format!("column {found:?} stands where {source} has {expected:?}");
            return Err(refuse(&held_out.file, problem));
        }
    }
    Ok(())
}

/// What the targets look like.
fn infer(table: &RawTable) -> Result<Task, DatasetError> {
    let is_number = |value: &String| number(value).is_ok();
    for target in &table.targets {
        let numbers = target
            .values
            .iter()
            .filter(|value| is_number(value))
            .count();
        let text = target.values.iter().position(|value| !is_number(value));
        if let (Some(code), true) = (text, numbers > 0 || table.targets.len() > 1) {
            let value = &target.values[code];
            let problem = match table.targets.len() {
                1 => format!(
                    "{value:?} is no number, as others in the column are: if they are classes, \
                     say --task classification"
                ),
                _ => format!(
                    "{value:?} is no number: several targets are numbers, or labels that are 0 or 1"
                ),
            };
            return Err(table.refuse_target(target, code, problem));
        }
    }
    let all = |of_value: fn(f32) -> bool| {
        let mut values = table.targets.iter().flat_map(|target| &target.values);
        values.all(|value| number(value).is_ok_and(of_value))
    };
    if let [target] = &table.targets[..] {
        let whole =
            all(|value| value.fract() == 0.0) && target.values.len() <= MAX_INFERRED_CLASSES;
        let texts = !target.values.iter().all(is_number);
        return Ok(match target.values.len() {
            _ if !whole && !texts => Task::Regression,
            2 => Task::Binary,
            _ => Task::Classification,
        });
    }
    Ok(match all(|value| value == 0.0 || value == 1.0) {
        true => Task::MultiLabel,
        false => Task::Regression,
    })
}

/// How texts become targets: follows from the samples that are trained on.
enum Scheme {
    Classes(Classes),
    /// Two classes; none for probabilities.
    Binary(Option<Classes>),
    Labels,
    Values,
}

/// Classes in their order: numbers by size, texts by their letters.
struct Classes {
    names: Vec<String>,
    are_numbers: bool,
    index: HashMap<String, i32>,
}

impl Classes {
    fn of(target: &TargetColumn) -> Self {
        let mut names = target.values.clone();
        let size = |name: &String| name.parse::<f64>().unwrap_or(f64::NAN);
        let are_numbers = names.iter().all(|name| size(name).is_finite());
        if are_numbers {
            names.sort_by(|a, b| size(a).total_cmp(&size(b)));
            // 1 and 1.0 are one class.
            names.dedup_by(|a, b| size(a) == size(b));
        } else {
            names.sort();
        }
        let mut classes = Self {
            names,
            are_numbers,
            index: HashMap::new(),
        };
        let keys = classes.names.iter().zip(0..);
        let keys = keys.map(|(name, class)| (classes.key(name), class));
        classes.index = keys.collect();
        classes
    }

    fn key(&self, text: &str) -> String {
        match text.parse::<f64>() {
            Ok(number) if self.are_numbers => number.to_string(),
            _ => text.to_owned(),
        }
    }

    fn find(&self, text: &str) -> Option<i32> {
        self.index.get(&self.key(text)).copied()
    }
}

impl Scheme {
    fn derive(task: Task, table: &RawTable) -> Result<Self, DatasetError> {
        let target = &table.targets[0];
        let classes = || {
            let classes = Classes::of(target);
            match classes.names.len() {
                1 => {
                    let problem = format!("all samples are of one class, {:?}", target.values[0]);
                    Err(table.refuse_column(target, problem))
                }
                num if num == table.num_rows() && num > 2 => {
                    let problem = "no two samples are of one class: there is nothing to learn";
                    Err(table.refuse_column(target, problem.to_owned()))
                }
                _ => Ok(classes),
            }
        };
        Ok(match task {
            Task::Classification => Self::Classes(classes()?),
            Task::Binary => {
                let fraction = |text: &String| number(text).is_ok_and(|n| n.fract() != 0.0);
                let beyond = target
                    .values
                    .iter()
                    .position(|text| probability(text).is_err());
                match beyond {
                    _ if target.values.len() <= 2 && !target.values.iter().any(fraction) => {
                        Self::Binary(Some(classes()?))
                    }
                    None => Self::Binary(None),
                    Some(code) => {
                        let problem = format!(
                            "{:?} is no probability, and there are {} different values: binary \
                             needs two classes, or probabilities",
                            target.values[code],
                            target.values.len()
                        );
                        return Err(table.refuse_target(target, code, problem));
                    }
                }
            }
            Task::MultiLabel => Self::Labels,
            Task::Regression => Self::Values,
        })
    }

    fn encode(&self, table: &RawTable) -> Result<Targets, DatasetError> {
        let target = &table.targets[0];
        let rows = |of_text: fn(&str) -> Result<f32, String>| {
            let columns = table
                .targets
                .iter()
                .map(|target| by_row(table, target, of_text));
            let columns: Vec<Vec<f32>> = columns.collect::<Result<_, _>>()?;
            let row = |row: usize| columns.iter().map(move |column| column[row]);
            Ok(TargetRows {
                values: (0..table.num_rows()).flat_map(row).collect(),
                width: columns.len(),
            })
        };
        Ok(match self {
            Self::Classes(classes) => Targets::Classes(classes_by_row(table, target, classes)?),
            Self::Binary(Some(classes)) => {
                let classes = classes_by_row(table, target, classes)?;
                Targets::Soft(classes.into_iter().map(|class| class as f32).collect())
            }
            Self::Binary(None) => Targets::Soft(by_row(table, target, probability)?),
            Self::Labels => Targets::Labels(rows(probability)?),
            Self::Values => Targets::Values(rows(number)?),
        })
    }

    fn class_names(&self) -> Vec<String> {
        match self {
            Self::Classes(classes) | Self::Binary(Some(classes)) => classes.names.clone(),
            Self::Binary(None) => vec!["0".to_owned(), "1".to_owned()],
            Self::Labels | Self::Values => Vec::new(),
        }
    }
}

fn probability(text: &str) -> Result<f32, String> {
    match number(text)? {
        value if (0.0..=1.0).contains(&value) => Ok(value),
        _ => Err(format!(
            "{text} is no label: it has to be 0 or 1, or a probability between them"
        )),
    }
}

/// A target's value in each row.
fn by_row(
    table: &RawTable,
    target: &TargetColumn,
    of_text: fn(&str) -> Result<f32, String>,
) -> Result<Vec<f32>, DatasetError> {
    let values = target.values.iter().enumerate().map(|(code, text)| {
        of_text(text).map_err(|problem| table.refuse_target(target, code, problem))
    });
    let values: Vec<f32> = values.collect::<Result<_, _>>()?;
    Ok(target
        .codes
        .iter()
        .map(|&code| values[code as usize])
        .collect())
}

fn classes_by_row(
    table: &RawTable,
    target: &TargetColumn,
    classes: &Classes,
) -> Result<Vec<i32>, DatasetError> {
    let of_code = target.values.iter().enumerate().map(|(code, text)| {
        classes.find(text).ok_or_else(|| {
            // A number close to another is no misspelling.
            let names = classes.names.iter().filter(|_| !classes.are_numbers);
            let closest = trace::closest(text, names.map(String::as_str));
            let problem = format!(
                "no sample that is trained on is of class {text:?}{}",
                trace::did_you_mean(closest)
            );
            table.refuse_target(target, code, problem)
        })
    });
    let of_code: Vec<i32> = of_code.collect::<Result<_, _>>()?;
    Ok(target
        .codes
        .iter()
        .map(|&code| of_code[code as usize])
        .collect())
}

/// Rows of which each lot is held out by the same share: those of a class, where there are classes.
fn strata(targets: &Targets) -> Vec<Vec<usize>> {
    let class = |row: usize| match targets {
        Targets::Classes(classes) => classes[row] as usize,
        Targets::Soft(soft) if soft.iter().all(|&p| p == 0.0 || p == 1.0) => soft[row] as usize,
        _ => 0,
    };
    let mut strata = Vec::new();
    for row in 0..targets.len() {
        let class = class(row);
        if strata.len() <= class {
            strata.resize_with(class + 1, Vec::new);
        }
        strata[class].push(row);
    }
    strata
}

/// Draws the share of all rows that is held out, in ascending order; each lot gives as near to that
/// share as whole samples allow, and keeps at least one.
fn draw_held_out(strata: Vec<Vec<usize>>, share: f64, seed: u64) -> Vec<usize> {
    let num_rows: usize = strata.iter().map(Vec::len).sum();
    let wanted = ((num_rows as f64 * share).round() as usize).max(1);
    let most = |lot: &Vec<usize>| lot.len().saturating_sub(1);
    let mut quotas: Vec<usize> = strata
        .iter()
        .map(|lot| ((lot.len() as f64 * share) as usize).min(most(lot)))
        .collect();
    // What is left goes to those that came closest to one more; the first on a tie.
    let mut by_remainder: Vec<usize> = (0..strata.len()).collect();
    let remainder = |lot: &usize| (strata[*lot].len() as f64 * share).fract();
    by_remainder.sort_by(|a, b| remainder(b).total_cmp(&remainder(a)));
    let mut left = wanted.saturating_sub(quotas.iter().sum());
    for lot in by_remainder {
        if left > 0 && quotas[lot] < most(&strata[lot]) {
            quotas[lot] += 1;
            left -= 1;
        }
    }
    let mut rng = HostRng::for_run(seed, Purpose::HeldOutSplit);
    let mut drawn = Vec::with_capacity(wanted);
    for (lot, quota) in strata.iter().zip(quotas) {
        let order = rng.permutation(lot.len());
        drawn.extend(order[..quota].iter().map(|&index| lot[index]));
    }
    drawn.sort_unstable();
    drawn
}

/// Means and standard deviations, column by column.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Standard {
    mean: Vec<f64>,
    /// 1 where all values are the same.
    std: Vec<f64>,
}

impl Standard {
    /// Of rows of `width` values.
    fn fit(values: &[f32], width: usize) -> Self {
        let num_rows = (values.len() / width) as f64;
        let mut mean = vec![0.0; width];
        for row in values.chunks_exact(width) {
            for (sum, &value) in mean.iter_mut().zip(row) {
                *sum += f64::from(value);
            }
        }
        mean.iter_mut().for_each(|sum| *sum /= num_rows);
        let mut std = vec![0.0; width];
        for row in values.chunks_exact(width) {
            for ((sum, &value), mean) in std.iter_mut().zip(row).zip(&mean) {
                *sum += (f64::from(value) - mean).powi(2);
            }
        }
        for std in &mut std {
            let deviation = (*std / num_rows).sqrt();
            *std = if deviation > 0.0 { deviation } else { 1.0 };
        }
        Self { mean, std }
    }

    fn apply(&self, values: &mut [f32]) {
        for row in values.chunks_exact_mut(self.mean.len()) {
            for ((value, mean), std) in row.iter_mut().zip(&self.mean).zip(&self.std) {
                *value = ((f64::from(*value) - mean) / std) as f32;
            }
        }
    }
}

fn scale_inputs(scale: Scale, train: &mut Samples, held_out: &mut Samples) -> Option<Standard> {
    match scale {
        Scale::None => None,
        Scale::Pixels => {
            let inputs = train.inputs.iter_mut().chain(&mut held_out.inputs);
            inputs.for_each(|pixel| *pixel /= MAX_PIXEL);
            None
        }
        Scale::Standard => {
            let standard = Standard::fit(&train.inputs, train.num_inputs);
            standard.apply(&mut train.inputs);
            standard.apply(&mut held_out.inputs);
            Some(standard)
        }
    }
}

/// Numbers that are predicted are standardised as inputs are: Adam would take long to come near
/// those that are far from 0.
fn scale_targets(scale: Scale, train: &mut Targets, held_out: &mut Targets) -> Option<Standard> {
    match (scale, train, held_out) {
        (Scale::Standard, Targets::Values(train), Targets::Values(held_out)) => {
            let standard = Standard::fit(&train.values, train.width);
            standard.apply(&mut train.values);
            standard.apply(&mut held_out.values);
            Some(standard)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
