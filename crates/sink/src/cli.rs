//! The command line: arguments, printing, exit status.

mod stats;
mod verify;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::{ArgAction, Parser, Subcommand};
use console::{Console, start_logging};
use trace::RunDir;

/// Looks after recorded runs.
#[derive(Debug, Parser)]
#[command(name = "sink", version)]
struct Args {
    #[command(subcommand)]
    verb: Verb,
    /// Say more on stderr; twice for still more (RUST_LOG overrides it)
    #[arg(short, long, action = ArgAction::Count, global = true)]
    verbose: u8,
}

/// What can be done with a run.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Check that every committed file is there, whole and readable, and list what is not committed
    Verify {
        /// The run's directory
        run: PathBuf,
    },
    /// Show rows, bytes, bytes a weight and files, by table and layer
    Stats {
        /// The run's directory
        run: PathBuf,
    },
}

/// Does what a command line asks for, of which the first word is the program's name: 0 for done, 1 for
/// failed or problems found. A process whose command line is not understood ends with 2.
pub fn main<I, A>(arguments: I) -> ExitCode
where
    I: IntoIterator<Item = A>,
    A: Into<OsString> + Clone,
{
    let args = Args::parse_from(arguments);
    let console = Console::default();
    start_logging(args.verbose, &console);
    console::end(&console, run(&args.verb, &console))
}

/// Does what a verb asks for, and says how it ended: 0, or 1 if problems were found.
///
/// # Errors
/// If the run cannot be read, or what is found cannot be printed.
pub fn run(verb: &Verb, console: &Console) -> Result<ExitCode> {
    match verb {
        Verb::Verify { run } => open(run).and_then(|run| verify::run(&run, console)),
        Verb::Stats { run } => open(run).and_then(|run| stats::run(&run)),
    }
}

fn open(path: &Path) -> Result<RunDir> {
    Ok(RunDir::open(path)?)
}
