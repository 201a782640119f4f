//! The command line: arguments, printing, exit status.

mod repair;
mod stats;
mod upgrade;
mod verify;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::{ArgAction, Parser, Subcommand};
use console::{Console, start_logging};
use trace::{RepairOptions, RunDir};

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
    /// Put what is whole of a damaged run under a history that can be trusted, and move the rest aside
    ///
    /// Nothing is deleted: what is damaged goes to the directory damaged/ of the run, with a report. It may be
    /// interrupted, and begins again when it is called again. Nobody may write to the run meanwhile.
    Repair {
        /// The run's directory
        run: PathBuf,
        /// Say what would be done, and change nothing
        #[arg(long)]
        dry_run: bool,
        /// Of files that no commit names any more, believe also those without checksums of their own, as
        /// programs of format 1.4 and before wrote them
        #[arg(long)]
        unchecked: bool,
    },
    /// Have the commits of a run of an earlier format say what they would say today, as checksums of columns
    ///
    /// Part files and run.json stay as they are. It may be interrupted at any moment. Nobody may write to the
    /// run meanwhile.
    Upgrade {
        /// The run's directory
        run: PathBuf,
        /// Say what would be done, and change nothing
        #[arg(long)]
        dry_run: bool,
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
        Verb::Repair {
            run,
            dry_run,
            unchecked,
        } => {
            let options = RepairOptions {
                dry_run: *dry_run,
                unchecked: *unchecked,
            };
            repair::run(run, options)
        }
        Verb::Upgrade { run, dry_run } => upgrade::run(run, *dry_run),
        Verb::Stats { run } => open(run).and_then(|run| stats::run(&run)),
    }
}

fn open(path: &Path) -> Result<RunDir> {
    Ok(RunDir::open(path)?)
}
