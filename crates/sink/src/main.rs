//! `sink`: looks after recorded runs.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
