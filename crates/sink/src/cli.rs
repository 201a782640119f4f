//! The command line: arguments, printing, exit status.

mod stats;
mod verify;

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

#[derive(Debug, Subcommand)]
enum Verb {
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

/// Runs the command line: 0 for done, 1 for failed or problems found, 2 for wrong usage.
pub fn main() -> ExitCode {
    let args = Args::parse();
    let console = Console::default();
    start_logging(args.verbose, &console);
    let result = match &args.verb {
        Verb::Verify { run } => open(run).and_then(|run| verify::run(&run, &console)),
        Verb::Stats { run } => open(run).and_then(|run| stats::run(&run)),
    };
    console::end(&console, result)
}

fn open(path: &Path) -> Result<RunDir> {
    Ok(RunDir::open(path)?)
}
