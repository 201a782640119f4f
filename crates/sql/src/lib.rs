//! SQL over a run, by DataFusion.
//!
//! It knows DataFusion and the trace format: the catalogue of a run's tables, how its files are scanned,
//! list functions, table functions, named queries, and the formats that rows are written in. It knows
//! nothing of Burn, of channels, of what is worked out of several queries, and of pictures.
//!
//! # To ask a run
//!
//! [`Run`] is a run with what was committed when it was opened; [`QuerySession`] is SQL over it, with the
//! list functions that [`function_docs`] describes. What is asked often has a name: a [`NamedQuery`] is
//! a `.sql` file with typed parameters; in SQL it is a table of every epoch, and a function of its
//! parameters. [`output`] writes rows as people and programs read them. What SQL can name is a
//! [`Definition`].
//!
//! ```no_run
//! # async fn ask() -> Result<(), Box<dyn std::error::Error>> {
//! use std::path::Path;
//!
//! use sql::{Run, SessionOptions};
//!
//! let run = Run::open(Path::new("traces/digits"))?;
//! let session = run.session(SessionOptions::default())?;
//! let lengths = "SELECT layer, avg(vec_norm(weights)) AS length FROM weights
//!                WHERE epoch = last_epoch() GROUP BY layer";
//! println!("{}", session.sql(lengths).await?.to_string().await?);
//! let curve = session.named("learning_curve", &[]).await?;
//! println!("{}", curve.to_string().await?);
//! # Ok(())
//! # }
//! ```
//!
//! # In a DataFusion program of one's own
//!
//! [`Run::register`] puts a run into any session: its tables in a catalogue of a name that one chooses,
//! list functions, table functions, calls of named queries, and rules that make plans over wide lists
//! fast. [`Run::catalog`] is the catalogue alone. What [`QuerySession`] plans runs in any session, too.
//!
//! ```no_run
//! # async fn ask() -> Result<(), Box<dyn std::error::Error>> {
//! use std::path::Path;
//!
//! use datafusion::prelude::{CsvReadOptions, SessionContext};
//! use sql::Run;
//!
//! let context = SessionContext::new();
//! let options = CsvReadOptions::new();
//! context.register_csv("notes", "notes.csv", options).await?;
//! Run::open(Path::new("traces/digits"))?.register(&context, "run")?;
//! let joined = context
//!     .sql("SELECT note, epoch, value FROM run.public.metrics JOIN notes USING (epoch)")
//!     .await?;
//! println!("{}", joined.to_string().await?);
//! # Ok(())
//! # }
//! ```
//!
//! # How it reads
//!
//! Files are known from the run's commits, never from a listing: a query sees whole captures only,
//! and a filter on `epoch` or `layer` decides about files before any is opened. SQL of a
//! [`QuerySession`] only reads, and reads nothing but the run.
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
pub use catalog::told::{Listed, described, listed, put_parameters};
pub use exec::budget::reserve;
pub use functions::{
    FunctionDoc, FunctionKind, all_udafs, all_udfs, function_docs, register_functions,
};
pub use named::{
    Arguments, Column, MAX_AUTO_WIDTH, NamedQuery, Parameter, ParameterType, ValidValues, type_name,
};
pub use run::batch::{BATCH_BYTES, MAX_BATCH_ROWS, MIN_BATCH_ROWS};
pub use run::captured::{describe_captured, describe_missing};
pub use run::error::{OpenError, QueryError};
pub use run::scope::{Captures, Scope};
pub use scan::SHARED_BYTES;
pub use session::{
    AskError, MAX_DEPTH, NotFinite, QuerySession, Run, SessionOptions, default_memory, first_rows,
};
pub use tables::linear_probe::{LINEAR_PROBE, MAX_NEURONS};
pub use trace::{BadFileError, WHOLE_FILE_BYTES};
