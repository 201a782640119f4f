//! `sink`: looks after recorded runs. What it does is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    sink::cli::main(std::env::args_os())
}
