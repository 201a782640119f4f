//! The command line: what was asked for, and how a process ends.
#![expect(
    clippy::print_stderr,
    reason = "a command line tool tells people what happened on stderr"
)]

mod answer;
mod ask;
mod compare;
mod describe;
mod embed;
mod info;
mod interrupt;
mod limits;
mod list;
mod meta;
mod named;
mod output;
mod phases;
mod plot;
mod report;
mod session;
mod shell;
mod statements;
mod structures;
mod usage;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};
use console::{Console, start_logging};

pub use usage::UsageError;

/// Ask a run of a neural network's training questions in SQL.
#[derive(Parser)]
#[command(name = "query", version)]
struct Cli {
    /// Say more about what is done (twice: even more); RUST_LOG has the last word
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    verbose: u8,
    #[command(subcommand)]
    verb: Verb,
}

/// The verbs, each a module with its arguments and one function over them.
#[derive(Subcommand)]
pub enum Verb {
    /// Run a SQL query
    Sql(ask::SqlArgs),
    /// Say what a run is: its layers, data and settings, and how far it has come
    Info(info::InfoArgs),
    /// Run a named query (`query list` shows them)
    Run(named::RunArgs),
    /// Compare two runs by layer and epoch: what they make of the held-out samples, and weights
    Compare(compare::CompareArgs),
    /// Place neurons in two or three dimensions, and in clusters
    Embed(embed::EmbedArgs),
    /// Find the phases of a training: epochs in which a layer keeps to one behaviour
    Phases(phases::PhasesArgs),
    /// Learn from the neurons whether the network is right: how well that goes on samples that were
    /// not learned from, and which neurons matter (the named query meta_model)
    Meta(meta::MetaArgs),
    /// List the named queries, or what else SQL over a run can name
    List(list::ListArgs),
    /// Show what a table, a column, a named query or a function means, takes and returns
    Describe(describe::DescribeArgs),
    /// Find, name, show and remove sets of neurons that go with a class, kept in the run's table `structures`
    #[command(subcommand)]
    Structures(structures::StructuresCommand),
    /// Draw a picture (`query plot --help` lists the kinds)
    Plot(plot::PlotArgs),
    /// Tell a whole run on one page: what was trained, how it learned, which neurons became what and
    /// when, what silencing them does, what recording cost
    Report(report::ReportArgs),
    /// Ask one question after another
    Shell(shell::ShellArgs),
}

/// Does what a command line asks for, of which the first word is the program's name, as in
/// [`std::env::args_os`], and says how it ended: 0, or 1 if it failed, or 2 if it was not understood.
/// Answers go to stdout, errors and notes to stderr. On Ctrl-C the process ends with 130, and with 124
/// where an answer takes longer than `--timeout` allows.
pub fn main<I, A>(arguments: I) -> ExitCode
where
    I: IntoIterator<Item = A>,
    A: Into<OsString> + Clone,
{
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => return refused(&error),
    };
    let console = Console::default();
    start_logging(cli.verbose, &console);
    let done = run(cli.verb);
    if let Err(error) = &done
        && let Some(UsageError(message)) = error.downcast_ref()
    {
        return refused(&Cli::command().error(ErrorKind::ValueValidation, message));
    }
    console::end(&console, done)
}

/// Says what is wrong with a command line, or the help that it asks for.
fn refused(error: &clap::Error) -> ExitCode {
    // Whoever was to read it has gone.
    let _ = error.print();
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(u8::MAX))
}

/// Does what a verb asks for, and says how it ended.
///
/// # Errors
/// Whatever kept it from that; a [`UsageError`] if its arguments make no sense together.
pub fn run(verb: Verb) -> anyhow::Result<ExitCode> {
    let done = match verb {
        Verb::Sql(asked) => ask::run(asked),
        Verb::Info(asked) => info::run(asked),
        Verb::Run(asked) => named::run(asked),
        Verb::Compare(asked) => compare::run(asked),
        Verb::Embed(asked) => embed::run(asked),
        Verb::Phases(asked) => phases::run(asked),
        Verb::Meta(asked) => meta::run(asked),
        Verb::List(asked) => list::run(asked),
        Verb::Describe(asked) => describe::run(asked),
        Verb::Structures(asked) => structures::run(asked),
        Verb::Plot(asked) => plot::run(asked),
        Verb::Report(asked) => report::run(asked),
        Verb::Shell(asked) => shell::run(asked),
    };
    limits::remove_spilled();
    done
}
