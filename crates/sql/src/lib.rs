//! SQL over a run, by DataFusion.
//!
//! It knows DataFusion and the trace format: the catalogue of a run's tables, how its files are scanned,
//! list functions, table functions, named queries, and the formats that rows are written in. It knows
//! nothing of Burn, of channels, of what is worked out of several queries, and of pictures.
//!
//! [`Run`] is a run with what was committed when it was opened; [`QuerySession`] is SQL over it,
//! with the list functions that [`function_docs`] describes. [`Run::register`] makes a run known to a
//! session of DataFusion's that is somebody else's. What is asked often has a name: a [`NamedQuery`] is
//! a `.sql` file with typed parameters; in SQL it is a table of every epoch, and a function of its
//! parameters. [`output`] writes rows as people and programs read them. What SQL can name is a
//! [`Definition`].
//!
//! Files are known from the run's commits, never from a listing: a query sees whole captures only,
//! and a filter on `epoch` or `layer` decides about files before any is opened. SQL only reads,
//! and reads nothing but the run.
//!
//! Its folders, each of which imports from those before it alone: `run` (a run at one moment), `functions`
//! (of lists), `scan` (part files as tables), `exec` (physical operators and rules), `tables` (tables by
//! name, and table functions), `named` (queries), `catalog` (what SQL can name), `session`; and `output`,
//! which knows of `run` alone.

mod catalog;
mod exec;
mod functions;
mod named;
pub mod output;
mod run;
mod scan;
mod session;
mod tables;

pub use catalog::registry::{Definition, DefinitionKind, Found};
pub use exec::room::reserve;
pub use functions::{
    FunctionDoc, FunctionKind, all_udafs, all_udfs, function_docs, register_functions,
};
pub use named::{
    Arguments, Column, MAX_AUTO_WIDTH, NamedQuery, Parameter, ParameterType, ValidValues, type_name,
};
pub use run::batch::{BATCH_BYTES, MAX_BATCH_ROWS, MIN_BATCH_ROWS};
pub use run::captured::{told_captured, told_missing};
pub use run::error::{OpenError, QueryError};
pub use run::scope::{Captures, Scope};
pub use scan::SHARED_BYTES;
pub use session::{MAX_DEPTH, NotFinite, QuerySession, Run, SessionOptions};
pub use tables::linear_probe::{LINEAR_PROBE, MAX_NEURONS};
pub use trace::{BadFileError, WHOLE_FILE_BYTES};
