//! The tables of a trace and their columns: what a part file holds, and what its path says.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};

/// The partition column `epoch`, as readers see it.
pub const EPOCH_COLUMN: &str = "epoch";
/// The partition column `layer`, as readers see it.
pub const LAYER_COLUMN: &str = "layer";

/// The metric that says which weights a rank holds: a checksum of all parameters.
pub const PARAMETERS_CRC32C: &str = "parameters_crc32c";

/// A table of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// One row a neuron a capture: bias, incoming weights and their statistics.
    Weights,
    /// One row a neuron a capture (or recorded batch): its values and their statistics.
    Activations,
    /// One row a sample a capture: what the network made of it.
    Classifications,
    /// One row a figure: loss, accuracy, and what recording cost.
    Metrics,
    /// One row a layer and kind of values a capture: how they are spread.
    Histograms,
    /// One row a neuron a capture: the loss's gradients by bias and incoming weights, as the backward
    /// pass made them.
    Gradients,
    /// One row a neuron a capture: the same gradients as the optimizer used them, clipped.
    GradientsApplied,
    /// One row a neuron, moment and capture: what the optimizer keeps of the gradients.
    Moments,
    /// One row a neuron and tensor: what training resumes from. Only the newest is kept.
    Resume,
    /// One row a neuron of a structure: a named set of neurons that go with an output.
    Structures,
    /// One row a figure of an ablation: what a network loses without some of its neurons.
    Ablations,
}

impl Table {
    /// Every table, in the order in which documents list them.
    pub const ALL: [Table; 11] = [
        Table::Weights,
        Table::Activations,
        Table::Classifications,
        Table::Metrics,
        Table::Histograms,
        Table::Gradients,
        Table::GradientsApplied,
        Table::Moments,
        Table::Resume,
        Table::Structures,
        Table::Ablations,
    ];

    /// The tables that queries show: all but [`Table::Resume`], whose files are the recorder's own
    /// and go with the next saved state.
    pub fn shown() -> impl Iterator<Item = Table> {
        Table::ALL
            .into_iter()
            .filter(|table| *table != Table::Resume)
    }

    /// The table's name: in SQL, and as a directory of the run.
    pub fn name(self) -> &'static str {
        match self {
            Table::Weights => "weights",
            Table::Activations => "activations",
            Table::Classifications => "classifications",
            Table::Metrics => "metrics",
            Table::Histograms => "histograms",
            Table::Gradients => "gradients",
            Table::GradientsApplied => "gradients_applied",
            Table::Moments => "moments",
            Table::Resume => "resume",
            Table::Structures => "structures",
            Table::Ablations => "ablations",
        }
    }

    /// Whether the table is partitioned by layer as well as by epoch.
    pub fn has_layer(self) -> bool {
        !matches!(
            self,
            Table::Classifications | Table::Metrics | Table::Structures | Table::Ablations
        )
    }

    /// Whether the table is worked out from captures, by whoever asks for it and perhaps while the
    /// run is being recorded, rather than recorded: see [`DerivedWriter`](crate::DerivedWriter).
    pub fn is_derived(self) -> bool {
        matches!(self, Table::Structures | Table::Ablations)
    }

    /// Whether a capture consists of its rows. Metrics are an epoch's, what training resumes from is
    /// the recorder's own, and what is derived tells of captures that were there before.
    pub fn is_of_captures(self) -> bool {
        !matches!(self, Table::Metrics | Table::Resume) && !self.is_derived()
    }

    /// Whether a capture has one row of each unit of a layer, so that the rows of its files ascend by neuron from one
    /// file to the next.
    pub(crate) fn has_one_row_a_unit(self) -> bool {
        matches!(
            self,
            Self::Weights | Self::Gradients | Self::GradientsApplied
        )
    }

    /// The columns stored in a part file, in order.
    pub fn schema(self) -> SchemaRef {
        static SCHEMAS: LazyLock<[SchemaRef; Table::ALL.len()]> =
            LazyLock::new(|| Table::ALL.map(|table| Arc::new(Schema::new(file_fields(table)))));
        Arc::clone(&SCHEMAS[self as usize])
    }

    /// The columns that the path holds: `epoch Int32`, and `layer Utf8` where there are layers.
    pub fn partition_fields(self) -> Vec<Field> {
        let mut fields = vec![Field::new(EPOCH_COLUMN, DataType::Int32, false)];
        if self.has_layer() {
            fields.push(Field::new(LAYER_COLUMN, DataType::Utf8, false));
        }
        fields
    }

    /// The columns by which the rows of a part file ascend, most significant first.
    pub fn sort_columns(self) -> &'static [&'static str] {
        match self {
            Table::Weights
            | Table::Activations
            | Table::Gradients
            | Table::GradientsApplied
            | Table::Moments
            | Table::Resume => &["step", "neuron"],
            Table::Classifications => &["step", "sample"],
            Table::Metrics | Table::Histograms | Table::Structures | Table::Ablations => &["step"],
        }
    }

    /// The column that holds a long list of floats, if the table has one.
    pub fn list_column(self) -> Option<&'static str> {
        match self {
            Table::Weights
            | Table::Gradients
            | Table::GradientsApplied
            | Table::Moments
            | Table::Resume => Some("weights"),
            Table::Activations => Some("activations"),
            Table::Classifications => Some("outputs"),
            Table::Histograms => Some("counts"),
            Table::Ablations => Some("random"),
            Table::Metrics | Table::Structures => None,
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is no table of this format version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no table of a trace; tables are weights, activations, classifications, metrics, \
     histograms, gradients, gradients_applied, moments, resume, structures, ablations"
)]
pub struct ParseTableError(pub String);

impl FromStr for Table {
    type Err = ParseTableError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Table::ALL
            .into_iter()
            .find(|table| table.name() == name)
            .ok_or_else(|| ParseTableError(name.to_owned()))
    }
}

/// A list of not-null 32-bit floats; its leaf's Parquet path is `<column>.list.item`.
pub fn float_list() -> DataType {
    DataType::List(Arc::new(float_item()))
}

/// The element of a [`float_list`].
pub fn float_item() -> Field {
    Field::new("item", DataType::Float32, false)
}

fn file_fields(table: Table) -> Fields {
    let required = |name: &str, data_type: DataType| Field::new(name, data_type, false);
    let nullable = |name: &str, data_type: DataType| Field::new(name, data_type, true);
    let float = |name: &str| nullable(name, DataType::Float32);

    let mut fields = vec![
        required("step", DataType::Int64),
        required("rank", DataType::Int32),
    ];
    if table == Table::Moments {
        fields.push(required("name", DataType::Utf8));
    }
    fields.extend(match table {
        Table::Weights | Table::Gradients | Table::GradientsApplied | Table::Moments => vec![
            required("neuron", DataType::Int32),
            required("unit", DataType::Int32),
            float("bias"),
            nullable("weights", float_list()),
            float("weight_mean"),
            float("weight_std"),
            float("weight_min"),
            float("weight_max"),
            float("weight_l2"),
            float("weight_median"),
            float("weight_l1"),
            nullable("weight_zeros", DataType::Int32),
            required("nonfinite", DataType::Int32),
        ],
        Table::Activations => vec![
            required("phase", DataType::Utf8),
            required("batch", DataType::Int32),
            required("neuron", DataType::Int32),
            required("unit", DataType::Int32),
            required("num_samples", DataType::Int64),
            nullable("activations", float_list()),
            float("activation_mean"),
            float("activation_median"),
            float("activation_std"),
            float("activation_min"),
            float("activation_max"),
            float("activation_l1"),
            float("activation_l2"),
            required("zeros", DataType::Int64),
            required("nonfinite", DataType::Int64),
        ],
        Table::Classifications => vec![
            required("phase", DataType::Utf8),
            required("sample", DataType::Int64),
            nullable("target", DataType::Int32),
            nullable("expected", float_list()),
            nullable("predicted", DataType::Int32),
            nullable("correct", DataType::Boolean),
            float("confidence"),
            required("loss", DataType::Float32),
            required("outputs", float_list()),
        ],
        Table::Metrics => vec![
            nullable("phase", DataType::Utf8),
            required("name", DataType::Utf8),
            required("value", DataType::Float64),
        ],
        Table::Histograms => vec![
            required("of", DataType::Utf8),
            required("edges", float_list()),
            required("counts", float_list()),
        ],
        Table::Resume => vec![
            required("neuron", DataType::Int32),
            required("unit", DataType::Int32),
            required("name", DataType::Utf8),
            required("updates", DataType::Int64),
            float("bias"),
            nullable("weights", float_list()),
        ],
        Table::Structures => vec![
            required("name", DataType::Utf8),
            nullable("class", DataType::Int32),
            required("layer", DataType::Utf8),
            required("neuron", DataType::Int32),
            required("first_epoch", DataType::Int32),
            required("last_epoch", DataType::Int32),
            nullable("score", DataType::Float64),
            nullable("p_value", DataType::Float64),
            nullable("measure", DataType::Utf8),
            nullable("half", DataType::Utf8),
            nullable("seed", DataType::Int64),
        ],
        Table::Ablations => vec![
            required("ablation", DataType::Utf8),
            nullable("name", DataType::Utf8),
            nullable("of_class", DataType::Int32),
            required("neurons", DataType::Utf8),
            required("mode", DataType::Utf8),
            nullable("factor", DataType::Float64),
            nullable("value", DataType::Float64),
            required("half", DataType::Utf8),
            required("seed", DataType::Int64),
            required("samples", DataType::Utf8),
            nullable("class", DataType::Int32),
            required("num_samples", DataType::Int64),
            required("metric", DataType::Utf8),
            required("before", DataType::Float64),
            required("after", DataType::Float64),
            nullable("random_mean", DataType::Float64),
            nullable("random_std", DataType::Float64),
            nullable("p_value", DataType::Float64),
            nullable("random", float_list()),
            nullable("predicted_before", float_list()),
            nullable("predicted_after", float_list()),
            nullable("predicted_random", float_list()),
        ],
    });
    fields.into()
}
