//! `--config`: a TOML file that has options of `recorder train`, by their names.
//!
//! Nothing about single options is said here: the file becomes arguments, put before those of the
//! command line, so that the parser sees one as it sees the other.

use std::collections::HashSet;
use std::ffi::OsString;
use std::path::Path;

use clap::builder::ValueParser;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The verb that takes a file.
const VERB: &str = "train";
/// The option that names it.
const OPTION: &str = "config";

/// The arguments, with those of the file that they name put in where the command line does not say
/// otherwise; as they are where they name none.
///
/// # Errors
/// If the file cannot be read, or says something that is no option of the command: the error names
/// file and line.
pub(in crate::cli) fn expand(
    command: &Command,
    arguments: Vec<OsString>,
) -> Result<Vec<OsString>, clap::Error> {
    // What is missing or wrong on the command line is told later, when everything is there.
    let lenient = command.clone().ignore_errors(true);
    let matches = lenient.try_get_matches_from(&arguments)?;
    let train = matches.subcommand_matches(VERB);
    let file = train.and_then(|train| train.get_one::<std::path::PathBuf>(OPTION));
    let (Some(train), Some(file)) = (train, file) else {
        return Ok(arguments);
    };
    let mut command = command.clone();
    command.build();
    let verb = command.find_subcommand(VERB).expect("it was just matched");
    let text = std::fs::read_to_string(file)
        .map_err(|error| usage(verb, format!("cannot read {}: {error}", file.display())))?;
    let said = arguments_of(verb, file, &text, train).map_err(|(line, problem)| {
        usage(verb, format!("{}, line {line}: {problem}", file.display()))
    })?;
    let at = arguments.iter().position(|argument| argument == VERB);
    let (before, after) = arguments.split_at(at.expect("the verb was matched") + 1);
    Ok([before, &said, after].concat())
}

fn usage(verb: &Command, problem: String) -> clap::Error {
    verb.clone().error(ErrorKind::ValueValidation, problem)
}

/// What is wrong in a file, with the line.
type Problem = (usize, String);

/// The arguments that a file stands for, save those that the command line has.
fn arguments_of(
    verb: &Command,
    file: &Path,
    text: &str,
    command_line: &ArgMatches,
) -> Result<Vec<OsString>, Problem> {
    let line = |at: usize| text[..at.min(text.len())].matches('\n').count() + 1;
    let table = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        (line(at), error.message().to_owned())
    })?;
    let mut entries: Vec<_> = table.get_ref().iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    let mut seen = HashSet::new();
    let mut arguments = Vec::new();
    for (key, value) in entries {
        let at = line(key.span().start);
        let option = find(verb, key.get_ref()).map_err(|problem| (at, problem))?;
        if !seen.insert(option.get_id()) {
            return Err((at, format!("{} is there twice", name_of(option))));
        }
        let said = of_entry(option, value).map_err(|problem| (at, problem))?;
        check(verb, &said).map_err(|problem| (at, problem))?;
        let source = command_line.value_source(option.get_id().as_str());
        if source != Some(ValueSource::CommandLine) {
            arguments.extend(said);
        }
    }
    tracing::debug!(file = %file.display(), ?arguments, "options of the file");
    Ok(arguments)
}

fn name_of(option: &Arg) -> &str {
    option
        .get_long()
        .unwrap_or_else(|| option.get_id().as_str())
}

/// The options that a file may have: all but those that are for somebody at a terminal, and the file
/// itself.
fn options(verb: &Command) -> impl Iterator<Item = &Arg> {
    verb.get_arguments().filter(|option| {
        let is_help = matches!(
            option.get_action(),
            ArgAction::Help | ArgAction::HelpLong | ArgAction::HelpShort | ArgAction::Version
        );
        !is_help && option.get_long().is_some() && option.get_id() != OPTION
    })
}

fn find<'a>(verb: &'a Command, key: &str) -> Result<&'a Arg, String> {
    // TOML is written with underscores as well.
    let name = key.replace('_', "-");
    options(verb)
        .find(|option| name_of(option) == name)
        .ok_or_else(|| {
            let suggested = words::closest(&name, options(verb).map(name_of));
            format!(
                "there is no option {key:?}{} (recorder {VERB} --help lists them)",
                words::did_you_mean(suggested)
            )
        })
}

/// What an option takes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Takes {
    Integer,
    Number,
    /// Any text.
    Text,
    /// Something of its own, which it reads itself.
    Word,
}

impl Takes {
    fn of(parser: &ValueParser) -> Self {
        use std::any::TypeId;
        let id = parser.type_id();
        let any = |types: &[TypeId]| types.iter().any(|known| id == *known);
        if any(&[
            TypeId::of::<u8>(),
            TypeId::of::<u16>(),
            TypeId::of::<u32>(),
            TypeId::of::<u64>(),
            TypeId::of::<usize>(),
            TypeId::of::<i32>(),
            TypeId::of::<i64>(),
        ]) {
            Self::Integer
        } else if any(&[TypeId::of::<f32>(), TypeId::of::<f64>()]) {
            Self::Number
        } else if any(&[
            TypeId::of::<String>(),
            TypeId::of::<OsString>(),
            TypeId::of::<std::path::PathBuf>(),
        ]) {
            Self::Text
        } else {
            Self::Word
        }
    }

    fn in_words(self) -> &'static str {
        match self {
            Self::Integer => "a whole number",
            Self::Number => "a number",
            Self::Text => "a string",
            Self::Word => "a string or a number",
        }
    }
}

/// The arguments that one entry stands for.
fn of_entry(option: &Arg, value: &Spanned<DeValue<'_>>) -> Result<Vec<OsString>, String> {
    let name = name_of(option);
    let wrong = |takes: &str| {
        let found = in_words(value.get_ref());
        Err(format!("{name} takes {takes}, not {found}"))
    };
    let with = |text: String| OsString::from(format!("--{name}={text}"));
    let takes = Takes::of(option.get_value_parser());
    match (option.get_action(), value.get_ref()) {
        (ArgAction::SetTrue, DeValue::Boolean(is_set)) => Ok(is_set
            .then(|| format!("--{name}").into())
            .into_iter()
            .collect()),
        (ArgAction::SetTrue, _) => wrong("true or false"),
        (ArgAction::Count, DeValue::Integer(_)) => match text(Takes::Integer, value) {
            Some(count) => {
                let count: u8 = count
                    .parse()
                    .map_err(|_| format!("{name} cannot be {count}"))?;
                Ok(vec![format!("--{name}").into(); usize::from(count)])
            }
            None => wrong("a whole number"),
        },
        (ArgAction::Count, _) => wrong("a whole number"),
        (action, DeValue::Array(values)) => {
            let several = matches!(action, ArgAction::Append);
            if !several && takes != Takes::Word {
                return wrong(takes.in_words());
            }
            let texts: Option<Vec<String>> =
                values.iter().map(|value| text(takes, value)).collect();
            match texts {
                None => Err(format!(
                    "{name} takes a list in which each is {}",
                    takes.in_words()
                )),
                Some(texts) if several => Ok(texts.into_iter().map(with).collect()),
                // As the command line has it.
                Some(texts) => Ok(vec![with(texts.join(","))]),
            }
        }
        (_, _) => match text(takes, value) {
            Some(text) => Ok(vec![with(text)]),
            None => wrong(takes.in_words()),
        },
    }
}

/// A value as the command line would have it; none if it is of a wrong type.
fn text(takes: Takes, value: &Spanned<DeValue<'_>>) -> Option<String> {
    match (value.get_ref(), takes) {
        (DeValue::Integer(_), Takes::Text) | (DeValue::Float(_), Takes::Text | Takes::Integer) => {
            None
        }
        (DeValue::Integer(integer), _) => {
            let value = i128::from_str_radix(integer.as_str(), integer.radix());
            Some(value.ok()?.to_string())
        }
        (DeValue::Float(float), _) => Some(float.as_str().to_owned()),
        (DeValue::String(text), Takes::Text | Takes::Word) => Some(text.clone().into_owned()),
        _ => None,
    }
}

fn in_words(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table: options stand alone, not below a heading",
    }
}

/// Has the parser look at the values of one option, so that what it does not like is told with the
/// line.
fn check(verb: &Command, arguments: &[OsString]) -> Result<(), String> {
    let program = [OsString::from(VERB)];
    let parsed = verb
        .clone()
        .try_get_matches_from(program.iter().chain(arguments));
    match parsed {
        // What an option needs beside it may stand elsewhere.
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::InvalidValue | ErrorKind::ValueValidation
            ) =>
        {
            let message = error.to_string();
            let message = message.split("\n\n").next().unwrap_or(&message);
            Err(message.trim_start_matches("error: ").trim_end().to_owned())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
