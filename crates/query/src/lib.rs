//! The verbs of the program `query`.
//!
//! It knows command lines: what was asked for, where rows, pictures and pages go, how a run is followed,
//! how a process ends. It knows nothing of how a query is planned, a study worked out or a chart drawn.
//!
//! [`main`] is the whole program but for its memory allocator, which a program chooses once, in its
//! binary.

mod cli;

pub use cli::main;
