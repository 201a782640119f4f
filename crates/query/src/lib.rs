//! The verbs of the program `query`.
//!
//! It knows command lines: what was asked for, where rows, pictures and pages go, how a run is followed,
//! how a process ends. It knows nothing of how a query is planned, a study worked out or a chart drawn.
//!
//! [`main`] is the whole program but for its memory allocator, which a program chooses once, in its
//! binary: it takes the words of a command line and gives the exit status. Another program, as a Python
//! package's command, has all verbs beside its own: a [`Verb`] is parsed by `clap` and done by [`run`]. A verb
//! is a module of `cli` with the arguments that it understands and one function over them, which writes what
//! was asked for or says why it cannot.

mod cli;

pub use cli::{UsageError, Verb, main, run};
