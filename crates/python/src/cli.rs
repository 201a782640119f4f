//! The command `stratigraph`: the verbs of `query` and `sink`, and those of a recorder that need no
//! framework, as one program.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use capture::CancelToken;
use capture::cli::{ExportArgs, ImportArgs, stop_on_ctrl_c};
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser as _};
use clap::error::ErrorKind;
use clap::{ArgAction, Args, Command, CommandFactory, FromArgMatches as _, Parser, Subcommand};
use console::{Console, start_logging};
use pictures::PlotKind;
use pyo3::prelude::*;
use query::UsageError;

use crate::checkpoints::TorchLibrary;

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
    /// Make a run of a series of checkpoints: safetensors of any framework, and what torch.save and
    /// Lightning write, where PyTorch is installed
    Import(Box<ImportOwnArgs>),
    /// Write an epoch's weights as a checkpoint that PyTorch's load_state_dict takes
    Export(ExportArgs),
}

/// What `import` is told, and where files of torch.save have their weights.
#[derive(Args)]
struct ImportOwnArgs {
    #[command(flatten)]
    import: ImportArgs,
    /// Where in a file of torch.save the state dict is, as ema or nets.actor; '' is the file itself
    /// [default: the file itself, or state_dict, model_state_dict, model or module in it]
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
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
            let library = Arc::new(TorchLibrary::new(args.key));
            capture::cli::import(&args.import, Some(library), NAME, &cancel, console)?.end()
        }
        Verb::Export(args) => capture::cli::export(&args)?.end(),
    }
}

/// The command line, whose help has this program's name where it tells of the verbs of others.
fn command() -> Command {
    let command = Cli::command();
    let verbs = command.get_subcommands();
    let verbs: Vec<String> = verbs.map(|verb| verb.get_name().to_owned()).collect();
    let ours = move |text: &dyn ToString| {
        let text = text.to_string();
        ["query", "sink", "recorder"]
            .iter()
            .fold(text, |text, program| called(&text, program, &verbs))
    };
    // The kinds of pictures, of which one names a verb.
    let kinds = PlotKind::ALL.map(|kind| {
        let purpose = ours(&kind.purpose());
        PossibleValue::new(kind.name()).help(purpose)
    });
    let kinds = PossibleValuesParser::new(kinds)
        .map(|name| PlotKind::from_name(&name).expect("one of the possible values"));
    let command = renamed(command, &ours);
    let command = command.mut_subcommand("import", |import| {
        // Of a recorder they are safetensors alone.
        import.mut_arg("checkpoints", |checkpoints| {
            checkpoints.help(
                "Safetensors files, of a sharded checkpoint its index, *.safetensors.index.json, and files of \
                 torch.save and Lightning (.pt, .pth, .bin, .ckpt), in any order. Globs may be quoted; what exists \
                 is a path, whatever characters it has",
            )
        })
    });
    let command = command.mut_subcommand("plot", |plot| {
        // Changed alone, it would become the last.
        plot.mut_args(|argument| match argument.get_id() == "kind" {
            true => argument.value_parser(kinds.clone()),
            false => argument,
        })
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

/// A text in which another program's verbs are this one's.
fn called(text: &str, program: &str, verbs: &[String]) -> String {
    let mut told = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(program) {
        told.push_str(before);
        // `query meta`, and not what begins as the named query meta_model.
        let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
        let word = after.strip_prefix(' ').unwrap_or_default();
        let word = word.split(|letter| !is_word(letter)).next().unwrap_or("");
        let is_verb = verbs.iter().any(|verb| verb == word);
        told.push_str(if is_verb { NAME } else { program });
        rest = after;
    }
    told + rest
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
