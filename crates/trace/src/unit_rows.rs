//! Whether the rows of a part file are those of its layer's units.

use std::ops::Range;

use arrow::array::{Array as _, AsArray as _, RecordBatch};
use arrow::datatypes::Int32Type;

use crate::id::LayerLabel;
use crate::table::Table;
use crate::topology::{Layer, Topology};

/// Holds the rows of a file against the layer that its path names, batch by batch: a row's neuron is that of its
/// unit, and its weights are as many as a unit of the layer has. Of one tensor, or batch of samples, each unit has at
/// most one row, in order and with none left out between the first and the last. A layer that is large is split into
/// several files, so that [`check_whole`](UnitRows::check_whole) alone tells whether a unit lacks its row.
#[derive(Debug)]
pub struct UnitRows {
    layer: Layer,
    /// Whether each unit has one row a capture.
    is_one_each: bool,
    num_rows: u32,
    /// By what the rows are of; few.
    rows: Vec<RowsOf>,
    /// Which of these the last row was of.
    last: usize,
}

/// Of which units a file has rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowsOf {
    /// Which of the table's tensors, or in what phase, the rows are of; empty where the table has no such column.
    pub name: String,
    /// Which batch of samples, 0 where there are none.
    pub batch: i32,
    /// The units, by their places among those that are recorded.
    pub units: Range<u32>,
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
            // What training goes on from is whole.
            Table::Resume => Layer {
                recorded_units: None,
                ..layers[index].clone()
            },
            _ => layers[index].clone(),
        };
        let is_one_each = table.has_one_row_a_unit();
        Some(Self {
            layer,
            is_one_each,
            num_rows: 0,
            rows: Vec::new(),
            last: 0,
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
        let names = ["name", "phase"].map(|name| rows.column_by_name(name)?.as_string_opt::<i32>());
        let names = names.into_iter().flatten().next();
        let batches = numbers("batch");
        for (row, (&neuron, &unit)) in neurons.values().iter().zip(units.values()).enumerate() {
            let name = names.map_or("", |names| names.value(row));
            let batch = batches.map_or(0, |batches| batches.value(row));
            self.check_row(neuron, unit, (name, batch))?;
            self.num_rows = self.num_rows.saturating_add(1);
        }
        self.check_lists(rows)
    }

    fn check_row(
        &mut self,
        neuron: i32,
        unit: i32,
        (name, batch): (&str, i32),
    ) -> Result<(), (String, String)> {
        let of_unit = i64::from(self.layer.first_neuron) + i64::from(unit);
        if i64::from(neuron) != of_unit {
            let expected = format!("neuron {of_unit} for unit {unit}");
            return Err((expected, format!("neuron {neuron}")));
        }
        let is_same = |rows: &RowsOf| rows.batch == batch && rows.name == name;
        if !self.rows.get(self.last).is_some_and(is_same) {
            let known = self.rows.iter().position(is_same);
            self.last = match known {
                Some(known) => known,
                None => {
                    let first = self.place(unit).ok_or_else(|| self.wrong(Some(0), unit))?;
                    self.rows.push(RowsOf {
                        name: name.to_owned(),
                        batch,
                        units: first..first,
                    });
                    self.rows.len() - 1
                }
            };
        }
        let due = self.rows[self.last].units.end;
        if self.place(unit) != Some(due) {
            return Err(self.wrong(Some(due), unit));
        }
        self.rows[self.last].units.end += 1;
        Ok(())
    }

    /// The place of a unit among those that are recorded.
    fn place(&self, unit: i32) -> Option<u32> {
        let unit = u32::try_from(unit).ok()?;
        match &self.layer.recorded_units {
            None => (unit < self.layer.num_units).then_some(unit),
            Some(recorded) => u32::try_from(recorded.binary_search(&unit).ok()?).ok(),
        }
    }

    /// The unit at a place.
    fn unit(&self, place: u32) -> Option<u32> {
        match &self.layer.recorded_units {
            None => (place < self.layer.num_units).then_some(place),
            Some(recorded) => recorded.get(place as usize).copied(),
        }
    }

    /// A row of another unit than the one at the place that is due.
    fn wrong(&self, due: Option<u32>, unit: i32) -> (String, String) {
        let due = due.and_then(|place| self.unit(place));
        let expected = due.map_or_else(
            || self.all_units(),
            |due| format!("unit {due} in row {}", self.num_rows),
        );
        (expected, format!("unit {unit} in row {}", self.num_rows))
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

    /// Of which units there were rows, once there are no more.
    ///
    /// # Errors
    /// What was expected, and what was found instead: where each unit has one row, a file has one at least.
    pub fn end(self) -> Result<Vec<RowsOf>, (String, String)> {
        match self.is_one_each && self.num_rows == 0 && self.layer.num_recorded_units() > 0 {
            true => Err((self.all_units(), "0 rows".to_owned())),
            false => Ok(self.rows),
        }
    }

    /// Whether files have rows of all units that are recorded, each once: `parts` are the units of a layer's files of
    /// one capture, of one name and batch, in the order of the files' numbers.
    ///
    /// # Errors
    /// Which of the files is the first that does not fit, what was expected, and what was found instead.
    pub fn check_whole(&self, parts: &[Range<u32>]) -> Result<(), (usize, String, String)> {
        let mut due = 0;
        for (place, units) in parts.iter().enumerate() {
            if units.start > due {
                return Err((place, self.all_units(), self.none_of(due..units.start)));
            }
            if units.start < due {
                let again = units.start..units.end.min(due).max(units.start + 1);
                let expected = match self.unit(due) {
                    Some(due) => format!("unit {due} after the file before"),
                    None => format!("no more than {}", self.all_units()),
                };
                return Err((place, expected, format!("{} again", self.words(again))));
            }
            due = units.end;
        }
        let all = self.layer.num_recorded_units();
        match due < all {
            true => {
                let last = parts.len().saturating_sub(1);
                Err((last, self.all_units(), self.none_of(due..all)))
            }
            false => Ok(()),
        }
    }

    /// Whether these are all units that are recorded.
    pub fn are_all(&self, units: &Range<u32>) -> bool {
        *units == (0..self.layer.num_recorded_units())
    }

    fn none_of(&self, places: Range<u32>) -> String {
        format!("none of {}", self.words(places))
    }

    /// Units in words, which are at least one.
    fn words(&self, places: Range<u32>) -> String {
        let unit = |place| self.unit(place).unwrap_or(place);
        let (first, last) = (unit(places.start), unit(places.end - 1));
        match first == last {
            true => format!("unit {first}"),
            false => format!("units {first} to {last}"),
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
