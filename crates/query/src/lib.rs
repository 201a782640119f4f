//! SQL over a run.
//!
//! [`Run`] is a run with what was committed when it was opened; [`QuerySession`] is SQL over it,
//! by DataFusion, with the list functions that [`function_docs`] describes. What is asked often
//! has a name: a [`NamedQuery`] is a `.sql` file with typed parameters; in SQL it is a table of every
//! epoch, and a function of its parameters. [`output`] writes rows as people and programs read them, [`analysis`] computes what SQL
//! cannot say well. A [`PlotKind`] is a picture that is asked for often; it makes a [`chart::Chart`],
//! which is drawn as SVG, PNG or a page. A [`Report`] tells a whole run on one page.
//!
//! Files are known from the run's commits, never from a listing: a query sees whole captures only,
//! and a filter on `epoch` or `layer` decides about files before any is opened. SQL only reads,
//! and reads nothing but the run.

pub mod allocator;
mod batch;
mod build_side;
mod call;
pub mod chart;
mod coactivation;
mod compare;
mod connections;
mod embed;
mod error;
mod facts;
mod findings;
mod functions;
mod held_out;
mod layer_values;
mod limits;
mod linear_probe;
mod lookup;
mod merge;
mod meta_model;
mod named;
mod not_finite;
pub mod output;
mod per_capture;
mod phases;
mod planning;
mod plot;
mod registry;
mod report;
mod room;
mod rules;
mod scope;
mod session;
mod snapshot;
mod step;
mod strongest_paths;
mod structure_scores;
mod structures;
mod successive;
mod table;
mod tables;
#[cfg(test)]
#[path = "../../../tests/sql/tiny.rs"]
#[allow(dead_code, reason = "other tests use more of it")]
mod tiny;
mod top_rows;

pub use analysis::{Linkage, Merge};
pub use batch::{BATCH_BYTES, MAX_BATCH_ROWS, MIN_BATCH_ROWS};
pub use compare::{Comparison, compare};
pub use embed::{
    DEFAULT_PERPLEXITY, EmbedOptions, Embedder, Embedding, EmbeddingMethod, MAX_AUTO_CLUSTERS,
    MAX_POINTS, NO_STRUCTURE, NOT_TRUSTED,
};
pub use error::QueryError;
pub use functions::{
    FunctionDoc, FunctionKind, all_udafs, all_udfs, function_docs, register_functions,
};
pub use layer_values::{Epochs, ValuesOf};
pub use named::{
    Arguments, Column, MAX_AUTO_WIDTH, NamedQuery, Parameter, ParameterType, ValidValues, type_name,
};
pub use not_finite::NotFinite;
pub use phases::{LayerPhases, MAX_AUTO_PHASES, phase_rows, phases};
pub use planning::MAX_DEPTH;
pub use plot::{Picture, PlotError, PlotKind};
pub use registry::{Definition, DefinitionKind, Found};
pub use report::{Grid, Part, Reload, Report, ReportError, ReportOptions, Section};
pub use scope::{Captures, Scope};
pub use session::{QuerySession, Run, SessionOptions};
pub use snapshot::OpenError;
pub use structures::{
    FindOptions, FoundBy, LabelOptions, Structure, StructureError, StructureNeuron, StructurePower,
};
pub use table::{BadFileError, SHARED_BYTES, WHOLE_FILE_BYTES};
