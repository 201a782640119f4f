//! The neurons that are placed, and their values.

use analysis::{Rows, spread};
use sql::QueryError;

use crate::layer_values::{LayerValues, ValuesOf};

/// The most neurons of a picture: what is held grows with their square.
pub const MAX_POINTS: usize = 5_000;

/// Neurons whose values are all finite.
#[derive(Debug)]
pub(super) struct Points {
    pub(super) neurons: Vec<i32>,
    pub(super) layers: Vec<String>,
    pub(super) rows: Rows,
    pub(super) num_left_out: usize,
    pub(super) num_passed_over: usize,
}

impl Points {
    pub(super) fn try_new(layers: Vec<LayerValues>, of: ValuesOf) -> Result<Self, QueryError> {
        let lengths = || layers.iter().map(|layer| layer.rows.num_columns());
        if lengths().min() != lengths().max() {
            let layers: Vec<&str> = layers.iter().map(|layer| layer.layer.as_str()).collect();
            return Err(QueryError::Mistake(format!(
                "layers whose neurons have different numbers of {} are not drawn together: choose \
                 a layer ({})",
                of.name(),
                layers.join(", ")
            )));
        }
        let num_columns = lengths().max().unwrap_or(0);
        let mut points = Self {
            neurons: Vec::new(),
            layers: Vec::new(),
            rows: Rows::default(),
            num_left_out: 0,
            num_passed_over: 0,
        };
        let mut values = Vec::new();
        for layer in &layers {
            for (place, neuron) in layer.neurons.iter().enumerate() {
                let row = layer.rows.row(place);
                if row.iter().any(|value| !value.is_finite()) {
                    points.num_left_out += 1;
                    continue;
                }
                points.neurons.push(*neuron);
                points.layers.push(layer.layer.clone());
                values.extend_from_slice(row);
            }
        }
        points.rows = Rows::new(points.neurons.len(), num_columns, values);
        Ok(points)
    }

    /// At most how many bytes it takes to place the points, and to put them into clusters.
    pub(super) fn num_bytes_of_placing(&self) -> usize {
        let (num_points, num_columns) = (self.neurons.len(), self.rows.num_columns());
        // Distances, and those that are merged; probabilities of all pairs, or of the nearest.
        let of_pairs = num_points.saturating_mul(num_points).saturating_mul(4);
        // Components: the values and their columns, twice, and squares of the smaller side.
        let of_values = self.rows.values().len().saturating_mul(4);
        let side = num_points.min(num_columns);
        let of_sides = side.saturating_mul(side).saturating_mul(4);
        let num_values = of_pairs.saturating_add(of_values).saturating_add(of_sides);
        num_values.saturating_mul(size_of::<f64>())
    }

    /// Keeps so many of them, evenly spread, so that each layer has its share.
    pub(super) fn keep(&mut self, at_most: usize) {
        let all: Vec<usize> = (0..self.neurons.len()).collect();
        let kept = spread(&all, at_most);
        self.num_passed_over = all.len() - kept.len();
        self.neurons = kept.iter().map(|&place| self.neurons[place]).collect();
        self.layers = kept
            .iter()
            .map(|&place| self.layers[place].clone())
            .collect();
        let rows = kept.iter().flat_map(|&place| self.rows.row(place));
        let values = rows.copied().collect();
        self.rows = Rows::new(kept.len(), self.rows.num_columns(), values);
    }
}
