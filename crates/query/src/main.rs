//! `query`: SQL over a run. What it does is in the library; this chooses its memory allocator.

mod allocator;

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: allocator::Allocator = allocator::Allocator;

fn main() -> ExitCode {
    allocator::keep_freed_memory();
    query::main(std::env::args_os())
}

#[cfg(test)]
mod tests;
