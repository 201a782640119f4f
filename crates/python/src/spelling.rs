//! Commands and flags that the libraries' texts name, as Python spells them.
//!
//! Libraries say what to do in the words of the command line: `` `query list all` ``, `--force`. In Python these
//! are calls and keywords.

use std::borrow::Cow;

/// What a command of two words, or three, is called in Python.
const CALLS: [(&str, &str); 17] = [
    ("query compare", "run.compare"),
    ("query describe", "run.describe"),
    ("query embed", "run.embed"),
    ("query list", "run.list"),
    ("query meta", "run.meta"),
    ("query phases", "run.phases"),
    ("query plot", "run.plot"),
    ("query report", "run.report"),
    ("query run", "run.query"),
    ("query sql", "run.sql"),
    ("query structures find", "run.structures.find"),
    ("query structures label", "run.structures.label"),
    ("query structures remove", "run.structures.remove"),
    ("recorder ablate", "sg.ablate"),
    ("recorder import", "sg.import_checkpoints"),
    ("recorder train", "sg.record"),
    ("sink verify", "run.verify"),
];

/// Flags that are on or off, as texts of libraries name them: their keywords take `True`.
const SWITCHES: [&str; 3] = ["force", "lossy", "salvage"];

/// Flags with a value.
const VALUES: [&str; 19] = [
    "activations",
    "draws",
    "epoch",
    "format",
    "gradients",
    "half",
    "histograms",
    "layers",
    "max-disk",
    "max-overhead",
    "memory",
    "pattern",
    "precision",
    "record",
    "strip-prefix",
    "timeout",
    "transpose",
    "units",
    "weights",
];

/// Flags whose value is the word behind them. Behind others a word is one of the sentence.
const WITH_WORD: [&str; 2] = ["half", "strip-prefix"];

/// `--resume` is a switch of an import, and has a value where a recording is gone on with.
const RESUME: &str = "resume";

/// The text with commands as calls, and flags as keywords.
pub(crate) fn as_python(text: &str) -> Cow<'_, str> {
    spelt(text, false)
}

/// The same of what an import says.
pub(crate) fn import_as_python(text: &str) -> Cow<'_, str> {
    spelt(text, true)
}

fn spelt(text: &str, is_import: bool) -> Cow<'_, str> {
    let has_command = CALLS.iter().any(|(command, _)| text.contains(command));
    if !has_command && !text.contains("--") {
        return Cow::Borrowed(text);
    }
    let mut spelt = String::with_capacity(text.len());
    for (nth, part) in text.split('`').enumerate() {
        if nth > 0 {
            spelt.push('`');
        }
        match (nth % 2 == 1).then(|| call(part)).flatten() {
            Some(call) => spelt.push_str(&call),
            None => spelt.push_str(&flags(part, is_import)),
        }
    }
    Cow::Owned(spelt)
}

/// A command as a call, if it is one that Python has.
fn call(command: &str) -> Option<String> {
    let found = CALLS.iter().filter_map(|(name, call)| {
        let rest = command.strip_prefix(name)?;
        (rest.is_empty() || rest.starts_with(' ')).then_some((name.len(), *call, rest))
    });
    let (_, call, rest) = found.max_by_key(|(length, ..)| *length)?;
    let mut arguments = Vec::new();
    let mut words = rest.split_whitespace().peekable();
    while let Some(word) = words.next() {
        let Some(flag) = word.strip_prefix("--") else {
            // The run is what the method is called on.
            if word != "RUN" {
                arguments.push(format!("{word:?}"));
            }
            continue;
        };
        let value = words.next_if(|word| !word.starts_with("--"));
        arguments.push(
            match (flag, value.and_then(|value| value.split_once('='))) {
                ("param", Some((name, value))) => keyword(name, Some(value)),
                _ => keyword(flag, value),
            },
        );
    }
    Some(format!("{call}({})", arguments.join(", ")))
}

/// A flag as a keyword with its value.
fn keyword(flag: &str, value: Option<&str>) -> String {
    let name = flag.replace('-', "_");
    match value {
        None => format!("{name}=True"),
        Some(value) if value.parse::<f64>().is_ok() => format!("{name}={value}"),
        Some(value) if value.contains(',') => {
            let values: Vec<String> = value.split(',').map(|value| format!("{value:?}")).collect();
            format!("{name}=[{}]", values.join(", "))
        }
        Some(value) => format!("{name}={value:?}"),
    }
}

/// A text with flags as keywords, and their values where they stand behind. Flags are whole words: a path that has
/// two dashes in it stays as it is.
fn flags(text: &str, is_import: bool) -> String {
    let mut spelt = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(place) = rest.find("--") {
        let (before, found) = rest.split_at(place);
        spelt.push_str(before);
        let name = &found[2..];
        let is_of_name = |c: char| c.is_ascii_lowercase() || c == '-';
        let end = name.find(|c| !is_of_name(c)).unwrap_or(name.len());
        let (name, behind) = name.split_at(end);
        let starts_word = spelt
            .chars()
            .next_back()
            .is_none_or(|c| c.is_whitespace() || c == '(');
        let ends_word = behind
            .chars()
            .next()
            .is_none_or(|c| c.is_whitespace() || ",;:)".contains(c));
        let is_switch = SWITCHES.contains(&name) || (name == RESUME && is_import);
        let has_value = VALUES.contains(&name) || name == RESUME;
        rest = behind;
        if !starts_word || !ends_word || !(is_switch || has_value) {
            spelt.push_str(&found[..2 + name.len()]);
        } else if is_switch {
            spelt.push_str(&keyword(name, None));
        } else if let Some(value) = value_behind(name, behind) {
            spelt.push_str(&keyword(name, Some(value)));
            rest = &behind[1 + value.len()..];
        } else {
            spelt.push_str(&name.replace('-', "_"));
            spelt.push('=');
            // A value in quotes is one of Python's, too.
            rest = match behind.strip_prefix(' ') {
                Some(quoted) if quoted.starts_with(['"', '\'']) => quoted,
                _ => behind,
            };
        }
    }
    spelt.push_str(rest);
    spelt
}

/// The number behind a flag, or the word where that is its value.
fn value_behind<'a>(name: &str, behind: &'a str) -> Option<&'a str> {
    let behind = behind.strip_prefix(' ')?;
    let is_end = |c: char| c.is_whitespace() || ",;:)'\"".contains(c);
    let word = &behind[..behind.find(is_end).unwrap_or(behind.len())];
    let is_number = !word.is_empty() && word.chars().all(|c| c.is_ascii_digit());
    (is_number || (WITH_WORD.contains(&name) && !word.is_empty())).then_some(word)
}
