//! Commands and flags that the libraries' texts name, as Python spells them.
//!
//! Libraries say what to do in the words of the command line: `` `query list all` ``, `--force`. In Python these
//! are calls and keywords.

use std::borrow::Cow;

/// What a command of two words, or three, is called in Python.
const CALLS: [(&str, &str); 16] = [
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
    ("recorder ablate", "sg.ablate"),
    ("recorder import", "sg.import_checkpoints"),
    ("recorder train", "sg.record"),
    ("sink verify", "run.verify"),
];

/// The text with commands as calls, and flags as keywords.
pub(crate) fn as_python(text: &str) -> Cow<'_, str> {
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
            None => spelt.push_str(&flags(part)),
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

/// A text with flags by the names of keywords; with a number behind it a flag has that value.
fn flags(text: &str) -> String {
    let mut spelt = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(place) = rest.find("--") {
        let (before, found) = rest.split_at(place);
        spelt.push_str(before);
        let name = &found[2..];
        let is_of_name = |c: char| c.is_ascii_lowercase() || c == '-';
        let end = name.find(|c| !is_of_name(c)).unwrap_or(name.len());
        let starts_word = before
            .chars()
            .next_back()
            .is_none_or(|c| !c.is_alphanumeric());
        if !starts_word || !name.starts_with(|c: char| c.is_ascii_lowercase()) {
            spelt.push_str("--");
            rest = name;
            continue;
        }
        let (name, behind) = name.split_at(end);
        let number = behind.strip_prefix(' ').map(|behind| {
            let end = behind.find(|c: char| !c.is_ascii_digit());
            &behind[..end.unwrap_or(behind.len())]
        });
        rest = match number.filter(|number| !number.is_empty()) {
            Some(number) => {
                spelt.push_str(&keyword(name, Some(number)));
                &behind[1 + number.len()..]
            }
            None if name == "force" => {
                spelt.push_str(&keyword(name, None));
                behind
            }
            None => {
                spelt.push_str(&name.replace('-', "_"));
                behind
            }
        };
    }
    spelt.push_str(rest);
    spelt
}
