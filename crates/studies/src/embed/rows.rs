//! An embedding as rows.

use std::sync::Arc;

use analysis::Merge;
use arrow::array::{ArrayRef, Float64Array, Int32Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use sql::QueryError;

use super::embedding::Embedding;

impl Embedding {
    /// The columns of [`rows`](Self::rows): `epoch`, `layer`, `neuron`, `x`, `y`, in three dimensions
    /// `z`, `cluster`, `leaf`.
    pub fn schema(dimensions: usize) -> SchemaRef {
        let field = |name: &str, data_type| Field::new(name, data_type, false);
        let mut fields = vec![
            field("epoch", DataType::Int32),
            field("layer", DataType::Utf8),
            field("neuron", DataType::Int32),
        ];
        let axes = ["x", "y", "z"].into_iter().take(dimensions);
        fields.extend(axes.map(|axis| field(axis, DataType::Float64)));
        fields.extend([
            field("cluster", DataType::Int32),
            field("leaf", DataType::Int32),
        ]);
        Arc::new(Schema::new(fields))
    }

    /// A row a neuron.
    ///
    /// # Errors
    /// None that can be met: columns are of one length.
    pub fn rows(&self, dimensions: usize) -> Result<RecordBatch, QueryError> {
        let ints = |values: &[usize]| -> ArrayRef {
            Arc::new(Int32Array::from_iter_values(
                values.iter().map(|v| *v as i32),
            ))
        };
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(Int32Array::from(vec![self.epoch; self.neurons.len()])),
            Arc::new(StringArray::from_iter_values(&self.layers)),
            Arc::new(Int32Array::from(self.neurons.clone())),
        ];
        for axis in 0..dimensions {
            let along = self.points.iter().map(|point| point[axis]);
            columns.push(Arc::new(Float64Array::from_iter_values(along)));
        }
        columns.extend([ints(&self.clusters), ints(&self.leaves)]);
        Ok(RecordBatch::try_new(Self::schema(dimensions), columns)?)
    }

    /// The columns of [`merge_rows`](Self::merge_rows): `epoch`, `merge`, `first`, `second`, `distance`,
    /// `size`, as SciPy's linkage matrix has the last four.
    pub fn merge_schema() -> SchemaRef {
        let field = |name: &str, data_type| Field::new(name, data_type, false);
        Arc::new(Schema::new(vec![
            field("epoch", DataType::Int32),
            field("merge", DataType::Int32),
            field("first", DataType::Int32),
            field("second", DataType::Int32),
            field("distance", DataType::Float64),
            field("size", DataType::Int32),
        ]))
    }

    /// A row a merge of the dendrogram, the nearest first.
    ///
    /// # Errors
    /// None that can be met: columns are of one length.
    pub fn merge_rows(&self) -> Result<RecordBatch, QueryError> {
        let ints = |of: fn(&Merge) -> usize| -> ArrayRef {
            let values = self.merges.iter().map(|merge| of(merge) as i32);
            Arc::new(Int32Array::from_iter_values(values))
        };
        let distances = self.merges.iter().map(|merge| merge.distance);
        let num_merges = self.merges.len();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int32Array::from(vec![self.epoch; num_merges])),
            Arc::new(Int32Array::from_iter_values(0..num_merges as i32)),
            ints(|merge| merge.first),
            ints(|merge| merge.second),
            Arc::new(Float64Array::from_iter_values(distances)),
            ints(|merge| merge.size),
        ];
        Ok(RecordBatch::try_new(Self::merge_schema(), columns)?)
    }
}
