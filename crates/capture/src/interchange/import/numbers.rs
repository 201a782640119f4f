//! Which epoch or step each checkpoint says that it is: by its name, or by what is in it.

use std::path::{Path, PathBuf};

use super::super::names::NumberSource::{self, ByPattern, ByWord, Inside, OnlyNumber};
use super::super::names::{NameProblem, PatternSuggestions, guess};
use super::super::pattern::Numbers;
use super::ImportOptions;
use super::error::ImportError;

/// What a name tells, and how.
type Named = Result<(Numbers, NumberSource), NameProblem>;

/// What every file tells, and how that was told. Names go first. What they leave open a library's files may
/// tell themselves: everything, where names do not tell or leave it to a guess, or the step of an epoch and the
/// epoch of a step, where all files do.
pub(super) fn numbers(
    files: Vec<PathBuf>,
    options: &ImportOptions,
) -> Result<(Vec<(PathBuf, Numbers)>, NumberSource), ImportError> {
    let mut named = Vec::new();
    for path in &files {
        named.push(by_name(path, options)?);
    }
    let is_open = |named: &Named| {
        let told = named.as_ref().ok();
        told.is_none_or(|(numbers, _)| numbers.epoch.is_none() || numbers.step.is_none())
    };
    let mut inside = vec![None; files.len()];
    if options.library.is_some() && named.iter().any(is_open) {
        for (path, inside) in files.iter().zip(&mut inside) {
            // Of those that are safetensors only the header is read.
            *inside = options.open_as_saved(path)?.numbers();
        }
    }
    let is_unsure = |named: &Named| !matches!(named, Ok((_, ByPattern | ByWord)));
    let tells = |(named, inside): (&Named, &Option<Numbers>)| !is_unsure(named) || inside.is_some();
    // Some by their names and others by what is in them might count differently: all or none.
    if (named.iter().any(Result::is_err) || are_steps(&named, &inside))
        && named.iter().zip(&inside).all(tells)
    {
        for (named, inside) in named.iter_mut().zip(&inside) {
            if let (true, Some(inside)) = (is_unsure(named), inside) {
                *named = Ok((*inside, Inside));
            }
        }
    }
    let mut told = Vec::new();
    let mut how = ByPattern;
    for (path, named) in files.iter().zip(named) {
        let (numbers, source) = named.map_err(|problem| refused(path, problem, &files))?;
        how = match (how, source) {
            (OnlyNumber, _) | (_, OnlyNumber) => OnlyNumber,
            (Inside, _) => Inside,
            (_, source) => source,
        };
        told.push(numbers);
    }
    complete(&mut told, &inside, options);
    Ok((files.into_iter().zip(told).collect(), how))
}

/// What a file's name tells.
///
/// # Errors
/// If it does not fit the pattern that says where names tell.
fn by_name(path: &Path, options: &ImportOptions) -> Result<Named, ImportError> {
    let Some(pattern) = &options.pattern else {
        return Ok(guess(path));
    };
    match pattern.numbers(path) {
        Some(numbers) => Ok(Ok((numbers, ByPattern))),
        None => Err(ImportError::NoNumber {
            path: path.to_owned(),
            pattern: Some(pattern.to_string()),
            suggestions: PatternSuggestions::default(),
        }),
    }
}

/// Whether the only numbers in names, which are guessed to be epochs, are steps by what the files say.
fn are_steps(named: &[Named], inside: &[Option<Numbers>]) -> bool {
    let is = |number: fn(&Numbers) -> Option<u64>| {
        named.iter().zip(inside).all(|(named, inside)| {
            let Ok((numbers, OnlyNumber)) = named else {
                return false;
            };
            inside.as_ref().and_then(number) == numbers.epoch
        })
    };
    is(|inside| inside.step) && !is(|inside| inside.epoch)
}

/// Adds what all names leave open and all files tell, unless the steps of an epoch were given.
fn complete(told: &mut [Numbers], inside: &[Option<Numbers>], options: &ImportOptions) {
    if options.steps_per_epoch.is_some() {
        return;
    }
    let mut both = Vec::new();
    for (told, inside) in told.iter().zip(inside) {
        let inside = inside.unwrap_or(Numbers {
            epoch: None,
            step: None,
        });
        let epoch = told.epoch.or(inside.epoch);
        let step = told.step.or(inside.step);
        if epoch.is_none() || step.is_none() {
            return;
        }
        both.push(Numbers { epoch, step });
    }
    told.copy_from_slice(&both);
}

/// What to say of a name that does not tell.
fn refused(path: &Path, problem: NameProblem, files: &[PathBuf]) -> ImportError {
    let suggestions = || PatternSuggestions::of(path, files);
    match problem {
        NameProblem::NoNumber => ImportError::NoNumber {
            path: path.to_owned(),
            pattern: None,
            suggestions: suggestions(),
        },
        NameProblem::TooLarge(_) => ImportError::NumberTooLarge {
            path: path.to_owned(),
        },
        problem => ImportError::Ambiguous {
            path: path.to_owned(),
            problem,
            suggestions: suggestions(),
        },
    }
}

#[cfg(test)]
mod tests;
