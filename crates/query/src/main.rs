//! `query`: SQL over a run. What it does is in the library; this is its command line.
#![expect(
    clippy::print_stderr,
    reason = "a command line tool tells people what happened on stderr"
)]

mod cli;

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: query::allocator::Allocator = query::allocator::Allocator;

fn main() -> ExitCode {
    query::allocator::keep_freed_memory();
    cli::main()
}
