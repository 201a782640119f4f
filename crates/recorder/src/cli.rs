//! The command line: arguments, printing, exit status.

mod ablate;
mod checkpoints;
mod place;
mod rebuilt;
mod replay;
mod train;

use std::process::ExitCode;

use capture::cli::{ExportArgs, ImportArgs};
use clap::error::ErrorKind;
use clap::{ArgAction, CommandFactory as _, Parser, Subcommand};
use console::{Console, start_logging};

/// Trains networks and records what happens inside them.
#[derive(Debug, Parser)]
#[command(name = "recorder", version)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
    /// Say more on stderr; twice for still more (RUST_LOG overrides it)
    #[arg(short, long, action = ArgAction::Count, global = true)]
    verbose: u8,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Train a network, and record every layer, every neuron, every epoch
    ///
    /// Without options it trains a multi-layer perceptron on the handwritten digits and leaves a
    /// run in traces/digits.
    Train(Box<train::TrainArgs>),
    /// Rebuild the network of an epoch from its trace, run the held-out set, and compare with
    /// what was recorded
    Replay(replay::ReplayArgs),
    /// Silence neurons in the network of an epoch, and measure what it loses, by class
    ///
    /// The network is rebuilt from its trace and runs over the held-out samples: as it was, with the
    /// neurons silenced, and with as many random neurons of the same layers silenced instead. The
    /// results are kept in the run, as the table ablations.
    Ablate(ablate::AblateArgs),
    /// Make a run of a series of checkpoints, from PyTorch or any other framework
    Import(ImportArgs),
    /// Write an epoch's weights as a checkpoint that PyTorch's load_state_dict takes
    Export(ExportArgs),
}

impl Verb {
    /// Checks what clap cannot: values that belong together, or have no range of whole numbers.
    fn check(&self) -> Result<(), clap::Error> {
        let (verb, checked) = match self {
            Self::Train(args) => ("train", args.check()),
            Self::Ablate(args) => ("ablate", args.check()),
            Self::Replay(_) | Self::Import(_) | Self::Export(_) => return Ok(()),
        };
        checked.map_err(|problem| {
            let mut command = Cli::command();
            command.build();
            let command = command.find_subcommand_mut(verb);
            let command = command.expect("the verb is there");
            command.error(ErrorKind::ValueValidation, problem)
        })
    }
}

/// Runs the command line: 0 for done, 1 for failed, 2 for wrong usage, 130 after Ctrl-C.
pub(crate) fn main() -> ExitCode {
    let arguments = train::expand(&Cli::command(), std::env::args_os().collect());
    let cli = arguments.and_then(Cli::try_parse_from);
    let cli = cli.unwrap_or_else(|error| error.exit());
    if let Err(error) = cli.verb.check() {
        error.exit();
    }
    let console = Console::default();
    start_logging(cli.verbose, &console);
    let result = match &cli.verb {
        Verb::Train(args) => train::run(args, &console),
        Verb::Replay(args) => replay::run(args),
        Verb::Ablate(args) => ablate::run(args, &console),
        Verb::Import(args) => checkpoints::import(args, &console),
        Verb::Export(args) => checkpoints::export(args),
    };
    console::end(&console, result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
