//! Which files are meant, and which capture each of them is.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use trace::{CaptureId, Epoch, Step};

use super::super::checkpoint::CheckpointError;
use super::super::names::NumberSource;
use super::super::pattern::{Numbers, is_shard};
use super::ImportOptions;
use super::error::ImportError;
use super::numbers::numbers;

/// The files that were named, and those that globs match. What exists is a path, whatever characters it
/// has; of a glob, the part that exists is one.
pub(super) fn expand(named: &[PathBuf]) -> Result<Vec<PathBuf>, ImportError> {
    let mut files = Vec::new();
    for path in named {
        if path.exists() || !is_glob(path.as_os_str()) {
            files.push(path.clone());
            continue;
        }
        let pattern = escape_existing(path);
        let found = glob::glob(&pattern).map_err(|error| ImportError::NoGlob {
            glob: path.clone(),
            reason: error.msg,
        })?;
        let before = files.len();
        for file in found {
            let unreadable = |source| ImportError::Glob {
                glob: path.clone(),
                source,
            };
            files.push(file.map_err(unreadable)?);
        }
        if files.len() == before {
            return Err(ImportError::NothingMatches { glob: path.clone() });
        }
    }
    if let Some(directory) = files.iter().find(|file| file.is_dir()) {
        let path = directory.clone();
        return Err(CheckpointError::Directory { path }.into());
    }
    match files.is_empty() {
        true => Err(ImportError::NoCheckpoints),
        false => Ok(files),
    }
}

fn is_glob(path: &OsStr) -> bool {
    path.to_string_lossy().contains(['*', '?', '['])
}

/// A glob in which the directories that exist as they are written stand for themselves.
fn escape_existing(path: &Path) -> String {
    let mut literal = PathBuf::new();
    let mut components = path.components().peekable();
    while let Some(component) = components.peek() {
        let longer = literal.join(component);
        if is_glob(component.as_os_str()) && !longer.exists() {
            break;
        }
        literal = longer;
        components.next();
    }
    let rest: PathBuf = components.collect();
    let literal = glob::Pattern::escape(&literal.to_string_lossy());
    match (literal.is_empty(), rest.as_os_str().is_empty()) {
        (true, _) => rest.to_string_lossy().into_owned(),
        (_, true) => literal,
        _ => Path::new(&literal)
            .join(rest)
            .to_string_lossy()
            .into_owned(),
    }
}

/// What every file is, in order, and how that was told.
pub(super) fn series(
    files: Vec<PathBuf>,
    options: &ImportOptions,
) -> Result<(Vec<(PathBuf, CaptureId)>, NumberSource), ImportError> {
    if let Some(path) = files.iter().find(|path| is_shard(path)) {
        return Err(ImportError::Shard { path: path.clone() });
    }
    let (mut named, how) = numbers(files, options)?;
    let (first, rest) = named.split_first().expect("there are files");
    for other in rest {
        if what(&first.1) != what(&other.1) {
            return Err(ImportError::Mixed {
                first: first.0.clone(),
                of_first: what(&first.1),
                other: other.0.clone(),
                of_other: what(&other.1),
            });
        }
    }
    named.sort_by_key(|(_, numbers)| (numbers.epoch, numbers.step));
    let mut series: Vec<(PathBuf, CaptureId)> = Vec::new();
    let mut untrained = 0;
    for (index, (path, numbers)) in named.into_iter().enumerate() {
        untrained += usize::from(numbers.step == Some(0));
        let position = index as i64 - untrained as i64;
        let Some(id) = capture_id(numbers, options.steps_per_epoch, position) else {
            return Err(ImportError::NumberTooLarge { path });
        };
        series.push((path, id));
    }
    series.sort_by_key(|(_, id)| (id.epoch, id.step));
    let mut seen = HashMap::new();
    for (path, id) in &series {
        if let Some(first) = seen.insert((id.epoch, id.step), path) {
            return Err(ImportError::Duplicate {
                first: first.clone(),
                second: path.clone(),
                id: *id,
            });
        }
    }
    Ok((series, how))
}

/// What a name tells, in words.
fn what(numbers: &Numbers) -> &'static str {
    match (numbers.epoch, numbers.step) {
        (Some(_), Some(_)) => "an epoch and a step",
        (Some(_), None) => "an epoch",
        _ => "a step",
    }
}

/// Epoch and step of a checkpoint that is at `position` among those that are trained; none if they
/// are out of range. As [`ImportOptions::steps_per_epoch`] says.
fn capture_id(
    numbers: Numbers,
    steps_per_epoch: Option<NonZeroU64>,
    position: i64,
) -> Option<CaptureId> {
    let (epoch, step) = match (numbers.epoch, numbers.step) {
        (Some(epoch), Some(step)) => (i64::try_from(epoch).ok()?, step),
        (Some(epoch), None) => {
            let steps = steps_per_epoch.map_or(1, NonZeroU64::get);
            let step = epoch.checked_add(1)?.checked_mul(steps)?;
            (i64::try_from(epoch).ok()?, step)
        }
        (None, step) => {
            let step = step?;
            let epoch = match steps_per_epoch {
                _ if step == 0 => Epoch::INITIAL.0.into(),
                Some(steps) => i64::try_from((step - 1) / steps).ok()?,
                None => position,
            };
            (epoch, step)
        }
    };
    Some(CaptureId {
        epoch: Epoch(i32::try_from(epoch).ok()?),
        step: Step(i64::try_from(step).ok()?),
    })
}

/// Why a checkpoint stands out of its series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Odd {
    /// Its name differs from most others in more than numbers.
    Name,
    /// The way from the one before is another one than most.
    Gap,
}

/// The checkpoints that stand out, by their place in the series: in what is otherwise even they may
/// be misread.
pub(super) fn odd(series: &[(PathBuf, CaptureId)]) -> Vec<(usize, Odd)> {
    let shapes = series.iter().map(|(path, _)| shape(path));
    let steps = series.windows(2).map(|pair| {
        let (before, after) = (pair[0].1, pair[1].1);
        match after.epoch.0 - before.epoch.0 {
            0 => (0, after.step.0 - before.step.0),
            epochs => (epochs, 0),
        }
    });
    let of_names = unusual(shapes).into_iter().map(|place| (place, Odd::Name));
    let of_gaps = unusual(steps)
        .into_iter()
        .map(|place| (place + 1, Odd::Gap));
    let mut odd: Vec<(usize, Odd)> = of_names.chain(of_gaps).collect();
    odd.sort_by_key(|(place, _)| *place);
    odd.dedup_by_key(|(place, _)| *place);
    odd
}

/// A name with its numbers taken out.
fn shape(path: &Path) -> String {
    let mut shape = String::new();
    for c in path.to_string_lossy().chars() {
        match c.is_ascii_digit() {
            false => shape.push(c),
            true if shape.ends_with('0') => {}
            true => shape.push('0'),
        }
    }
    shape
}

/// Where the values are that most others are not; nowhere where no value is that of most.
fn unusual<T: std::hash::Hash + Eq>(values: impl Iterator<Item = T>) -> Vec<usize> {
    let values: Vec<T> = values.collect();
    let mut counts: HashMap<&T, usize> = HashMap::new();
    for value in &values {
        *counts.entry(value).or_default() += 1;
    }
    let most = counts.into_iter().max_by_key(|(_, count)| *count);
    let Some((usual, _)) = most.filter(|(_, count)| 2 * count > values.len()) else {
        return Vec::new();
    };
    (0..values.len())
        .filter(|&place| values[place] != *usual)
        .collect()
}
