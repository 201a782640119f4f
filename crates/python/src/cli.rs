//! The command `stratigraph`: the verbs of `query` and `sink`, and those of a recorder that need no
//! framework, as one program.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::Result;
use capture::CancelToken;
use capture::cli::{ExportArgs, ImportArgs, stop_on_ctrl_c};
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser as _};
use clap::error::ErrorKind;
use clap::{ArgAction, Command, CommandFactory, FromArgMatches as _, Parser, Subcommand};
use console::{Console, start_logging};
use pictures::PlotKind;
use pyo3::prelude::*;
use query::UsageError;

/// How the command is called.
const NAME: &str = "stratigraph";

/// Ask, check, import and export what was recorded while neural networks were trained.
#[derive(Parser)]
#[command(name = NAME, version)]
struct Cli {
    /// Say more about what is done (twice: even more); RUST_LOG has the last word
    #[arg(short, long, action = ArgAction::Count, global = true)]
    verbose: u8,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    #[command(flatten)]
    Query(query::Verb),
    #[command(flatten)]
    Sink(sink::cli::Verb),
    /// Make a run of a series of checkpoints, from PyTorch or any other framework
    Import(Box<ImportArgs>),
    /// Write an epoch's weights as a checkpoint that PyTorch's load_state_dict takes
    Export(ExportArgs),
}

/// Does what a command line asks for, of which the first word is the program's name, and gives the status
/// that the process is to end with: 0, 1 if it failed, 2 if it was not understood. On Ctrl-C the process
/// ends with 130. It is meant for a process of its own: the log and signals are its.
#[pyfunction]
fn main(py: Python<'_>, argv: Vec<OsString>) -> u8 {
    let status = py.detach(|| {
        let status = answer(argv);
        // At the end of a process that is not Rust's, nothing that waits to be written is written. Whoever
        // was to read it may have gone.
        let _ = io::stdout().flush();
        status
    });
    let is_meant = |number: &u8| ExitCode::from(*number) == status;
    (0..=u8::MAX).find(is_meant).unwrap_or(1)
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(main, module)?)
}

fn answer(arguments: Vec<OsString>) -> ExitCode {
    let parsed = command().try_get_matches_from(arguments);
    let cli = match parsed.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => return refused(&error),
    };
    let console = Console::default();
    start_logging(cli.verbose, &console);
    let done = run(cli.verb, &console);
    if let Err(error) = &done
        && let Some(wrong) = error.downcast_ref::<UsageError>()
    {
        return refused(&command().error(ErrorKind::ValueValidation, wrong));
    }
    console::end(&console, done)
}

/// Says what is wrong with a command line, or the help that it asks for.
fn refused(error: &clap::Error) -> ExitCode {
    // Whoever is to read it may have gone.
    let _ = error.print();
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(u8::MAX))
}

fn run(verb: Verb, console: &Console) -> Result<ExitCode> {
    match verb {
        Verb::Query(verb) => query::run(verb),
        Verb::Sink(verb) => sink::cli::run(&verb, console),
        Verb::Import(args) => {
            let cancel = CancelToken::default();
            stop_on_ctrl_c(cancel.clone(), console.clone())?;
            capture::cli::import(&args, NAME, &cancel, console)?.end()
        }
        Verb::Export(args) => capture::cli::export(&args)?.end(),
    }
}

/// Replaces words where they stand by themselves: `query meta`, and not the beginning of `query meta_model`.
fn replace_words(text: &str, words: &str, by: &str) -> String {
    let mut replaced = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(words) {
        let (before, after) = (&rest[..at], &rest[at + words.len()..]);
        let goes_on = |c: char| c.is_alphanumeric() || c == '_';
        let is_part = after.starts_with(goes_on) || before.ends_with(goes_on);
        replaced.push_str(before);
        replaced.push_str(if is_part { words } else { by });
        rest = after;
    }
    replaced.push_str(rest);
    replaced
}

/// The command line, whose help has this program's name where it tells of the verbs of others.
fn command() -> Command {
    let command = Cli::command();
    let verbs = command.get_subcommands().map(|verb| {
        let verb = verb.get_name();
        let others = ["query", "sink", "recorder"].map(|program| format!("{program} {verb}"));
        (others, format!("{NAME} {verb}"))
    });
    let verbs: Vec<_> = verbs.collect();
    let ours = move |text: &dyn ToString| {
        let mut text = text.to_string();
        for (others, ours) in &verbs {
            for other in others {
                text = replace_words(&text, other, ours);
            }
        }
        text
    };
    // The kinds of pictures, of which one names a verb.
    let kinds = PlotKind::ALL.map(|kind| {
        let purpose = ours(&kind.purpose());
        PossibleValue::new(kind.name()).help(purpose)
    });
    let kinds = PossibleValuesParser::new(kinds)
        .map(|name| PlotKind::from_name(&name).expect("one of the possible values"));
    let command = renamed(command, &ours);
    let command = command.mut_subcommand("plot", |plot| {
        plot.mut_arg("kind", |kind| kind.value_parser(kinds))
    });
    command.mut_subcommand("structures", |structures| {
        // What a usage was set to cannot be read back.
        structures.mut_subcommand("label", |label| {
            label.override_usage(
                "stratigraph structures label <RUN> <NAME> <LABEL>
       stratigraph structures label <RUN> <NAME> --neurons <[LAYER:]N,...> [OPTIONS]",
            )
        })
    })
}

fn renamed(mut command: Command, ours: &impl Fn(&dyn ToString) -> String) -> Command {
    if let Some(text) = command.get_about().map(|text| ours(text)) {
        command = command.about(text);
    }
    if let Some(text) = command.get_long_about().map(|text| ours(text)) {
        command = command.long_about(text);
    }
    if let Some(text) = command.get_after_help().map(|text| ours(text)) {
        command = command.after_help(text);
    }
    if let Some(text) = command.get_after_long_help().map(|text| ours(text)) {
        command = command.after_long_help(text);
    }
    command = command.mut_args(|mut argument| {
        if let Some(text) = argument.get_help().map(|text| ours(text)) {
            argument = argument.help(text);
        }
        if let Some(text) = argument.get_long_help().map(|text| ours(text)) {
            argument = argument.long_help(text);
        }
        argument
    });
    command.mut_subcommands(|verb| renamed(verb, ours))
}
