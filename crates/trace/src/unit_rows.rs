//! Whether the rows of a part file are those of its layer's units.

use std::ops::Range;

use arrow::array::{Array as _, AsArray as _, RecordBatch};
use arrow::datatypes::Int32Type;

use crate::id::LayerLabel;
use crate::table::Table;
use crate::topology::{Layer, Topology};

/// Holds the rows of a file against the layer that its path names, batch by batch: a row's neuron is that of its
/// unit, and its weights are as many as a unit of the layer has. Where a table has one row a neuron a capture, each
/// unit that is recorded has one, in order.
#[derive(Debug)]
pub struct UnitRows {
    layer: Layer,
    /// Whether each unit has one row.
    is_one_each: bool,
    num_rows: u32,
}

impl UnitRows {
    /// Of a table whose rows are by neuron, and a layer that the run has; none otherwise.
    pub fn of(table: Table, label: &LayerLabel, topology: &Topology) -> Option<Self> {
        if table.sort_columns().get(1) != Some(&"neuron") {
            return None;
        }
        let layers = topology.layers();
        let index = layers.iter().position(|layer| layer.layer == *label)?;
        let layer = match table {
            Table::Activations => topology.activated(index)?.into_owned(),
            _ => layers[index].clone(),
        };
        let is_one_each = matches!(
            table,
            Table::Weights | Table::Gradients | Table::GradientsApplied
        );
        Some(Self {
            layer,
            is_one_each,
            num_rows: 0,
        })
    }

    /// The ids of the layer's neurons.
    pub fn neurons(&self) -> Range<i32> {
        self.layer.neurons()
    }

    /// Holds the next rows against the layer.
    ///
    /// # Errors
    /// What was expected, and what was found instead.
    pub fn check(&mut self, rows: &RecordBatch) -> Result<(), (String, String)> {
        let numbers = |name: &str| rows.column_by_name(name)?.as_primitive_opt::<Int32Type>();
        let (Some(neurons), Some(units)) = (numbers("neuron"), numbers("unit")) else {
            return Ok(());
        };
        for (&neuron, &unit) in neurons.values().iter().zip(units.values()) {
            self.check_row(neuron, unit)?;
            self.num_rows = self.num_rows.saturating_add(1);
        }
        self.check_lists(rows)
    }

    fn check_row(&self, neuron: i32, unit: i32) -> Result<(), (String, String)> {
        let of_unit = i64::from(self.layer.first_neuron) + i64::from(unit);
        if i64::from(neuron) != of_unit {
            let expected = format!("neuron {of_unit} for unit {unit}");
            return Err((expected, format!("neuron {neuron}")));
        }
        if !self.is_one_each {
            return Ok(());
        }
        let due = match &self.layer.recorded_units {
            None => (self.num_rows < self.layer.num_units).then_some(self.num_rows),
            Some(recorded) => recorded.get(self.num_rows as usize).copied(),
        };
        if due.map(i64::from) == Some(i64::from(unit)) {
            return Ok(());
        }
        let expected = due.map_or_else(
            || self.all_units(),
            |due| format!("unit {due} in row {}", self.num_rows),
        );
        Err((expected, format!("unit {unit} in row {}", self.num_rows)))
    }

    fn check_lists(&self, rows: &RecordBatch) -> Result<(), (String, String)> {
        let weights = rows
            .column_by_name("weights")
            .and_then(|column| column.as_list_opt::<i32>());
        let Some(weights) = weights else {
            return Ok(());
        };
        let fan_in = self.layer.fan_in;
        let mut valid = (0..weights.len()).filter(|row| weights.is_valid(*row));
        let other = valid.find_map(|row| {
            let length = weights.value_length(row);
            (i64::from(length) != i64::from(fan_in)).then_some(length)
        });
        match other {
            None => Ok(()),
            Some(length) => Err((
                format!("rows of {fan_in} weights"),
                format!("a row of {length}"),
            )),
        }
    }

    /// Whether all units had a row, once there are no more.
    ///
    /// # Errors
    /// What was expected, and what was found instead.
    pub fn end(&self) -> Result<(), (String, String)> {
        match self.is_one_each && self.num_rows != self.layer.num_recorded_units() {
            true => Err((self.all_units(), format!("{} rows", self.num_rows))),
            false => Ok(()),
        }
    }

    fn all_units(&self) -> String {
        format!(
            "a row for each of {} units",
            self.layer.num_recorded_units()
        )
    }
}

#[cfg(test)]
mod tests;
