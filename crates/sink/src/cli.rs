//! The command line: arguments, printing, exit status.

mod stats;
mod verify;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::{ArgAction, Parser, Subcommand};
use trace::RunDir;
use tracing_subscriber::EnvFilter;

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
    start_logging(args.verbose);
    let result = match &args.verb {
        Verb::Verify { run } => open(run).and_then(|run| verify::run(&run)),
        Verb::Stats { run } => open(run).and_then(|run| stats::run(&run)),
    };
    match result {
        Ok(status) => status,
        // Whoever read the output, as `head`, has had enough.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "the program's last words")]
            {
                eprintln!("{}", trace::printable(&format!("error: {error:#}")));
            }
            ExitCode::FAILURE
        }
    }
}

fn open(path: &Path) -> Result<RunDir> {
    Ok(RunDir::open(path)?)
}

fn start_logging(verbose: u8) {
    let level = match verbose {
        0 => "warn",
        1 => "info",
        _ => "debug",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}
