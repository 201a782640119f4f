//! Which epoch or step a checkpoint is of, from its name alone, and what to say where it does not tell.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use regex::Regex;

use super::pattern::{INDEX_SUFFIX, NamePattern, Numbers, SUFFIXES};

/// What the numbers of a series of checkpoints are known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NumberSource {
    /// By a pattern that was given.
    ByPattern,
    /// By the word epoch or step beside them.
    ByWord,
    /// They are the only ones in the names, taken as epochs.
    OnlyNumber,
    /// The files say them themselves, which a library read.
    Inside,
}

/// Why a name does not tell.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameProblem {
    /// There is none.
    #[error("it has no number")]
    NoNumber,
    /// There are several, and no word.
    #[error("it has several numbers, none of them beside the word epoch or step")]
    Several,
    /// The word stands beside several.
    #[error("it has several numbers beside the word {0}")]
    SeveralBeside(&'static str),
    /// `1k`, `7b`, `1e-05`.
    #[error("{0} in it is a number with a unit, which may stand for another one")]
    Unit(String),
    /// `0.83`.
    #[error("{0} in it is no whole number")]
    Decimal(String),
    /// `1_000`.
    #[error("{0} in it may be one number or two")]
    Grouped(String),
    /// `=-1`.
    #[error("-{0} in it is negative")]
    Negative(String),
    /// `v2`.
    #[error("v{0} in it is the number of a version")]
    Version(String),
    /// It does not fit into 64 bits.
    #[error("{0} in it is too large")]
    TooLarge(String),
}

/// A word beside a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    Epoch,
    Step,
}

/// A number in a name.
#[derive(Debug)]
struct Number<'a> {
    /// Its digits, and dots between them.
    text: &'a str,
    start: usize,
    word: Option<Word>,
    is_version: bool,
    /// Why it cannot be what is looked for.
    problem: Option<NameProblem>,
}

/// What a file's name says to everybody: the number beside the word epoch, that beside the word step,
/// or, without these words, the only number as an epoch. A version, as `v2`, does not count beside
/// another number.
///
/// # Errors
/// If that would be a guess.
pub(super) fn guess(path: &Path) -> Result<(Numbers, NumberSource), NameProblem> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = name.to_ascii_lowercase();
    let numbers = numbers(stem(&name));
    let has_word = numbers.iter().any(|number| number.word.is_some());
    if has_word {
        let beside = |word, name| {
            let mut found = numbers.iter().filter(|number| number.word == Some(word));
            let Some(first) = found.next() else {
                return Ok(None);
            };
            let first = first.value()?;
            match found.all(|other| other.value() == Ok(first)) {
                true => Ok(Some(first)),
                false => Err(NameProblem::SeveralBeside(name)),
            }
        };
        let (epoch, step) = (beside(Word::Epoch, "epoch")?, beside(Word::Step, "step")?);
        return Ok((Numbers { epoch, step }, NumberSource::ByWord));
    }
    let mut others = numbers.iter().filter(|number| !number.is_version);
    let epoch = match (others.next(), others.next()) {
        (Some(only), None) => only.value()?,
        (Some(_), Some(_)) => return Err(NameProblem::Several),
        (None, _) => {
            return Err(match numbers.first() {
                Some(version) => NameProblem::Version(version.text.to_owned()),
                None => NameProblem::NoNumber,
            });
        }
    };
    let numbers = Numbers {
        epoch: Some(epoch),
        step: None,
    };
    Ok((numbers, NumberSource::OnlyNumber))
}

impl Number<'_> {
    fn value(&self) -> Result<u64, NameProblem> {
        match &self.problem {
            Some(problem) => Err(problem.clone()),
            None => {
                let too_large = |_| NameProblem::TooLarge(self.text.to_owned());
                self.text.parse().map_err(too_large)
            }
        }
    }

    fn is_whole(&self) -> bool {
        !self.text.contains('.')
    }
}

/// A checkpoint's name without what every checkpoint's ends in.
fn stem(name: &str) -> &str {
    let name = name.strip_suffix(INDEX_SUFFIX).unwrap_or(name);
    let mut suffixes = SUFFIXES.iter();
    let without = suffixes.find_map(|suffix| name.strip_suffix(suffix));
    let name = without.unwrap_or(name);
    // A checkpoint that consists of one shard.
    name.strip_suffix("-00001-of-00001").unwrap_or(name)
}

fn regex(text: &str) -> Regex {
    Regex::new(text).expect("the expression is well-formed")
}

/// The numbers of a name in lower case.
fn numbers(name: &str) -> Vec<Number<'_>> {
    static NUMBER: LazyLock<Regex> = LazyLock::new(|| regex(r"[0-9]+(?:\.[0-9]+)*"));
    static WORD: LazyLock<Regex> =
        LazyLock::new(|| regex(r"(?:^|[^a-z])(?:(epochs?)|(?:global[-_]?)?steps?)[-_=. ]?$"));
    static MINUS: LazyLock<Regex> =
        LazyLock::new(|| regex(r"(?:(?:^|[^a-z])(?:epochs?|steps?)[-_=. ]|=)-$"));
    static VERSION: LazyLock<Regex> = LazyLock::new(|| regex(r"(?:^|[^a-z])v$"));
    let found = NUMBER.find_iter(name).map(|found| {
        let text = found.as_str();
        let (before, after) = (&name[..found.start()], &name[found.end()..]);
        let word_before = WORD.captures(before).map(|word| match word.get(1) {
            Some(_) => Word::Epoch,
            None => Word::Step,
        });
        let length = after
            .find(|c: char| !c.is_alphabetic() && c != '%')
            .unwrap_or(after.len());
        let letters = &after[..length];
        let word_after = match letters {
            "epoch" | "epochs" => Some(Word::Epoch),
            "step" | "steps" => Some(Word::Step),
            _ => None,
        };
        // In epoch3step96 the second word is the next number's.
        let is_next_word = word_before.is_some()
            && ["epoch", "step", "global"]
                .iter()
                .any(|word| letters.starts_with(word));
        let is_unit = !letters.is_empty() && word_after.is_none() && !is_next_word;
        let problem = if text.contains('.') {
            Some(NameProblem::Decimal(text.to_owned()))
        } else if is_unit {
            Some(NameProblem::Unit(format!("{text}{letters}")))
        } else if let Some(whole) = grouped(text, after) {
            Some(NameProblem::Grouped(whole))
        } else if MINUS.is_match(before) {
            Some(NameProblem::Negative(text.to_owned()))
        } else {
            None
        };
        Number {
            text,
            start: found.start(),
            word: word_before.or(word_after),
            is_version: VERSION.is_match(before),
            problem,
        }
    });
    found.collect()
}

/// The whole of a number whose thousands may be set apart: `1_000`, `10,000`.
fn grouped(digits: &str, after: &str) -> Option<String> {
    if digits.len() > 3 || digits.starts_with('0') {
        return None;
    }
    let mut rest = after;
    let mut whole = digits.to_owned();
    while let Some(group) = rest.strip_prefix(['_', ',']) {
        let length = group.find(|c: char| !c.is_ascii_digit());
        if length.unwrap_or(group.len()) != 3 {
            break;
        }
        whole.push_str(&rest[..4]);
        rest = &rest[4..];
    }
    (whole.len() > digits.len()).then_some(whole)
}

/// Patterns that would tell, and what each makes of the files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PatternSuggestions(Vec<(String, String)>);

/// How many patterns are proposed.
const MAX_SUGGESTIONS: usize = 4;

/// How many numbers of a pattern are told.
const MAX_NUMBERS: usize = 4;

impl PatternSuggestions {
    /// Patterns for a file, one of several, whose name does not tell.
    pub(super) fn of(path: &Path, files: &[PathBuf]) -> Self {
        let Some(text) = pattern_base(path) else {
            return Self::default();
        };
        let others: Vec<String> = files.iter().filter_map(|file| pattern_base(file)).collect();
        let spots = numbers(&text);
        let whole: Vec<usize> = (0..spots.len()).filter(|&i| spots[i].is_whole()).collect();
        let mut chosen: Vec<Vec<(usize, &str)>> = whole
            .iter()
            .map(|&spot| vec![(spot, placeholder(&text[..spots[spot].start]))])
            .collect();
        if let [first, second] = whole[..] {
            chosen.push(vec![(first, "{epoch}"), (second, "{step}")]);
        }
        let mut suggestions = Vec::new();
        for chosen in chosen.into_iter().take(MAX_SUGGESTIONS) {
            let pattern = pattern(&text, &spots, &chosen, &others);
            let Ok(parsed) = pattern.parse::<NamePattern>() else {
                continue;
            };
            suggestions.push((pattern, makes(&parsed, files)));
        }
        Self(suggestions)
    }
}

/// What of a path a pattern would be about: its name, with its directory where only that has a number.
/// Without the braces that a pattern cannot have.
fn pattern_base(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_string_lossy();
    let name = name.strip_suffix(INDEX_SUFFIX).unwrap_or(&name);
    let has_number = |text: &str| {
        numbers(stem(&text.to_ascii_lowercase()))
            .iter()
            .any(Number::is_whole)
    };
    let base = match has_number(name) {
        true => name.to_owned(),
        false => {
            let directory = path.parent()?.file_name()?.to_string_lossy();
            if !has_number(&directory) {
                return None;
            }
            format!("{directory}/{name}")
        }
    };
    (!base.contains(['{', '}'])).then_some(base)
}

/// What a number rather is, by what stands before it.
fn placeholder(before: &str) -> &'static str {
    let before = before.trim_end_matches(|c: char| !c.is_ascii_alphabetic());
    let before = before.to_ascii_lowercase();
    let is_step = ["step", "steps", "iter", "iteration", "checkpoint"]
        .iter()
        .any(|word| before.ends_with(word));
    if is_step { "{step}" } else { "{epoch}" }
}

/// The name with placeholders where chosen numbers are, and `*` for those that differ between files.
fn pattern(
    text: &str,
    spots: &[Number<'_>],
    chosen: &[(usize, &str)],
    others: &[String],
) -> String {
    let mut pattern = String::new();
    let mut end = 0;
    for (index, spot) in spots.iter().enumerate() {
        pattern.push_str(&text[end..spot.start]);
        end = spot.start + spot.text.len();
        let placeholder = chosen.iter().find(|(chosen, _)| *chosen == index);
        let is_same = || {
            let at = |other: &String| numbers(other).get(index).map(|n| n.text.to_owned());
            others.len() > 1
                && others
                    .iter()
                    .all(|other| at(other).as_deref() == Some(spot.text))
        };
        pattern.push_str(match placeholder {
            Some((_, placeholder)) => placeholder,
            None if is_same() => spot.text,
            None => "*",
        });
    }
    pattern.push_str(&text[end..]);
    pattern
}

/// What a pattern makes of files, in words.
fn makes(pattern: &NamePattern, files: &[PathBuf]) -> String {
    let found: Vec<Option<Numbers>> = files.iter().map(|file| pattern.numbers(file)).collect();
    let told = |number: fn(&Numbers) -> Option<u64>| -> Vec<String> {
        let numbers: BTreeSet<u64> = found.iter().flatten().filter_map(number).collect();
        let mut told: Vec<String> = numbers.iter().map(u64::to_string).collect();
        if told.len() > MAX_NUMBERS {
            let last = told.len() - 1;
            told.splice(MAX_NUMBERS - 1..last, ["...".to_owned()]);
        }
        told
    };
    let mut parts = Vec::new();
    for (word, numbers) in [
        ("epoch", told(|numbers| numbers.epoch)),
        ("step", told(|numbers| numbers.step)),
    ] {
        if !numbers.is_empty() {
            parts.push(format!("{word} {}", numbers.join(", ")));
        }
    }
    let num_misfits = found.iter().filter(|numbers| numbers.is_none()).count();
    if num_misfits > 0 {
        parts.push(format!("{num_misfits} of {} do not fit", files.len()));
    }
    parts.join("; ")
}

impl fmt::Display for PatternSuggestions {
    /// A line each.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (pattern, makes) in &self.0 {
            let pattern = pattern.replace('\'', r"'\''");
            write!(f, "\n  --pattern '{pattern}' makes of them: {makes}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
