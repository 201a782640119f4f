//! Whether the rows of a file are those that its path says: of its step, rank and layer, in order.

use arrow::array::{AsArray as _, RecordBatch};
use arrow::datatypes::{DataType, Int32Type, Int64Type};
use trace::{CommittedFile, PartPath, RowsOf, Topology, UnitRows};

use super::Check;

/// What is wrong: the check, what was expected, and what was found.
pub(super) type Wrong = (Check, String, String);

/// Of which units of its layer a file has rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PartOfLayer {
    pub(super) part: PartPath,
    pub(super) rows: Vec<RowsOf>,
}

/// What the path of a file says of its rows.
pub(super) struct Content {
    part: PartPath,
    /// What is known of its rows' units; none where rows are not by neuron, or the layer is unknown.
    of_units: Option<UnitRows>,
    /// The key of the last row so far.
    last_key: Option<i64>,
}

impl Content {
    /// Reads a path, and holds it against what the commit says beside it.
    ///
    /// # Errors
    /// If it is no part file's, or is of another partition.
    pub(super) fn try_new(file: &CommittedFile<'_>, topology: &Topology) -> Result<Self, Wrong> {
        let wrong = |expected: &str, found: String| (Check::Name, expected.to_owned(), found);
        let part: PartPath = file
            .path
            .parse()
            .map_err(|e: trace::ParsePartPathError| wrong("a part file's path", e.problem))?;
        let layer = part.layer.as_ref().map(|label| label.as_str());
        if part.epoch.0 != file.epoch || layer != file.layer {
            let partition = |epoch: i32, layer: Option<&str>| match layer {
                Some(layer) => format!("epoch {epoch} and layer {layer}"),
                None => format!("epoch {epoch}"),
            };
            let found = format!("the path of {}", partition(part.epoch.0, layer));
            return Err(wrong(&partition(file.epoch, file.layer), found));
        }
        let of_units = part.layer.as_ref();
        let of_units = of_units.and_then(|label| UnitRows::of(part.table, label, topology));
        Ok(Self {
            part,
            of_units,
            last_key: None,
        })
    }

    /// Holds rows against the path, and their order against that of the rows before.
    ///
    /// # Errors
    /// If a row is of another step, rank or layer, or comes after one that it should precede.
    pub(super) fn check(&mut self, rows: &RecordBatch) -> Result<(), Wrong> {
        self.check_all_are(rows, "step", self.part.step.0)?;
        self.check_all_are(rows, "rank", i64::from(self.part.rank.0))?;
        let neurons = self.of_units.as_ref().map(UnitRows::neurons);
        let neurons = neurons.map(|of_layer| i64::from(of_layer.start)..i64::from(of_layer.end));
        let keys = self.part.table.sort_columns().get(1);
        for key in keys.into_iter().flat_map(|name| whole_numbers(rows, name)) {
            if let Some(neurons) = &neurons
                && !neurons.contains(&key)
            {
                let expected = format!("neurons {} to {}", neurons.start, neurons.end - 1);
                return Err((Check::Name, expected, format!("neuron {key}")));
            }
            if let Some(last) = self.last_key.replace(key)
                && last > key
            {
                let expected = "rows that ascend".to_owned();
                return Err((Check::Order, expected, format!("{key} after {last}")));
            }
        }
        match &mut self.of_units {
            Some(of_units) => of_units.check(rows).map_err(of_layer),
            None => Ok(()),
        }
    }

    /// Of which units there were rows, once there are no more.
    ///
    /// # Errors
    /// If there should have been one at least.
    pub(super) fn end(self) -> Result<Option<PartOfLayer>, Wrong> {
        let Some(of_units) = self.of_units else {
            return Ok(None);
        };
        let rows = of_units.end().map_err(of_layer)?;
        Ok(Some(PartOfLayer {
            part: self.part,
            rows,
        }))
    }

    fn check_all_are(&self, rows: &RecordBatch, name: &str, expected: i64) -> Result<(), Wrong> {
        match whole_numbers(rows, name).find(|found| *found != expected) {
            None => Ok(()),
            Some(found) => Err((
                Check::Name,
                format!("{name} {expected}, as in its name"),
                format!("a row of {name} {found}"),
            )),
        }
    }
}

/// What is wrong with rows as those of a layer's units.
fn of_layer((expected, found): (String, String)) -> Wrong {
    (Check::Units, expected, found)
}

/// The values of a column of whole numbers that are never null; none of any other.
fn whole_numbers<'a>(rows: &'a RecordBatch, name: &str) -> Box<dyn Iterator<Item = i64> + 'a> {
    let Some(column) = rows.column_by_name(name) else {
        return Box::new(std::iter::empty());
    };
    match column.data_type() {
        DataType::Int32 => {
            let values = column.as_primitive::<Int32Type>().values();
            Box::new(values.iter().map(|&value| value.into()))
        }
        DataType::Int64 => Box::new(column.as_primitive::<Int64Type>().values().iter().copied()),
        _ => Box::new(std::iter::empty()),
    }
}

#[cfg(test)]
mod tests;
