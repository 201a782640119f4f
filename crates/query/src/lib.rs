//! What is made of SQL over a run: studies that take several queries, pictures and the report.

pub mod allocator;
pub mod chart;
mod compare;
mod embed;
mod layer_values;
mod phases;
mod plot;
mod report;
mod structures;

pub use compare::{Comparison, compare};
pub use embed::{
    DEFAULT_PERPLEXITY, EmbedOptions, Embedder, Embedding, EmbeddingMethod, MAX_AUTO_CLUSTERS,
    MAX_POINTS, NO_STRUCTURE, NOT_TRUSTED,
};
pub use layer_values::{Epochs, ValuesOf};
pub use phases::{LayerPhases, MAX_AUTO_PHASES, phase_rows, phases};
pub use plot::{Picture, PlotError, PlotKind};
pub use report::{Grid, Part, Reload, Report, ReportError, ReportOptions, Section};
pub use structures::{
    FindOptions, FoundBy, LabelOptions, Structure, StructureError, StructureNeuron, StructurePower,
    find_structures, keep_structures, label_structure, named_structure, require_structure,
    structure_names, structure_power,
};
