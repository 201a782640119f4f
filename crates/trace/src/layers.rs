//! Whether a capture has all its layers: what a run has of one table at one moment it has at the others.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::catalog::Catalog;
use crate::commit::CaptureId;
use crate::id::{LayerLabel, Rank};
use crate::part::PartPath;
use crate::run::RunInfo;
use crate::table::Table;
use crate::topology::Topology;

/// A committed capture that lacks files of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LackingCapture {
    /// Epoch and step.
    pub id: CaptureId,
    /// The process whose part lacks them.
    pub rank: Rank,
    /// The table.
    pub table: Table,
    /// The layers of which there is no file; empty where the table has no layers, or its layers are there in part.
    pub layers: Vec<LayerLabel>,
    /// The layers of which some units have no row: the rows are too few or too many, or a file is missing between
    /// others.
    pub partial: Vec<LayerLabel>,
}

/// The tables of which a capture has files, and of which layers (none in tables without layers).
pub(crate) type Held = BTreeMap<Table, BTreeMap<Option<LayerLabel>, HeldOfLayer>>;

/// What a capture has of a table, or of a layer in it.
#[derive(Debug, Default)]
pub(crate) struct HeldOfLayer {
    num_rows: u64,
    /// The numbers of the files.
    sequences: BTreeSet<u32>,
}

impl HeldOfLayer {
    /// Adds a file with so many rows.
    pub(crate) fn add(&mut self, part: &PartPath, num_rows: u64) {
        self.num_rows = self.num_rows.saturating_add(num_rows);
        self.sequences.insert(part.sequence);
    }

    /// How many rows of each unit there are, of so many units; none where they are not as many of each, or the files'
    /// numbers have a hole: something is lost then.
    pub(crate) fn rows_a_unit(&self, num_units: u64) -> Option<u64> {
        let has_hole = !self
            .sequences
            .iter()
            .copied()
            .eq(0..self.sequences.len() as u32);
        let is_whole = num_units > 0 && !has_hole && self.num_rows.is_multiple_of(num_units);
        is_whole.then(|| self.num_rows / num_units)
    }
}

/// What a capture lacks of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lacking {
    pub(crate) table: Table,
    /// As [`LackingCapture::layers`].
    pub(crate) layers: Vec<LayerLabel>,
    /// As [`LackingCapture::partial`].
    pub(crate) partial: Vec<LayerLabel>,
}

impl Lacking {
    /// Whether there are no files of a layer, or of the table; else those that there are have not all rows.
    pub(crate) fn lacks_files(&self) -> bool {
        !self.layers.is_empty() || self.partial.is_empty()
    }
}

/// What a run's captures hold, by the process that recorded them.
#[derive(Debug)]
pub(crate) struct Recorded {
    ranks: BTreeMap<Rank, BTreeMap<Table, BTreeSet<Option<LayerLabel>>>>,
    topology: Topology,
    /// Whether every capture is of one network that is computed in the same way each time.
    is_rebuildable: bool,
}

impl Recorded {
    /// What the captures of these files hold together.
    pub(crate) fn of<'a>(parts: impl Iterator<Item = &'a PartPath>, info: &RunInfo) -> Self {
        let mut ranks: BTreeMap<Rank, BTreeMap<Table, BTreeSet<_>>> = BTreeMap::new();
        for part in parts.filter(|part| part.table.is_of_captures()) {
            let held = ranks.entry(part.rank).or_default();
            let layers = held.entry(part.table).or_default();
            layers.insert(part.layer.clone());
        }
        Self {
            ranks,
            topology: info.layers.clone(),
            is_rebuildable: !info.model.is_null(),
        }
    }

    /// What a capture of `rank` lacks that has these files. Of weights there are those of all layers
    /// that are recorded at any time. Of a network that can be rebuilt the same holds of what it makes of
    /// held-out samples, and of gradients where there are any; of somebody's own a layer may be left out of
    /// one pass and not of the next. Histograms are of finite values, and before there were files without rows a
    /// layer without any had no file.
    /// Of a layer that is there at all, in however many files, each unit that is recorded has its rows.
    pub(crate) fn lacking(&self, rank: Rank, held: &Held) -> Vec<Lacking> {
        let nothing = BTreeMap::new();
        let known = self.ranks.get(&rank).into_iter().flatten();
        let lacking = known.filter_map(|(table, known)| {
            let held = held.get(table).unwrap_or(&nothing);
            let is_due = match table {
                Table::Weights => true,
                Table::Activations | Table::Classifications => self.is_rebuildable,
                Table::Gradients | Table::GradientsApplied | Table::Moments => {
                    self.is_rebuildable && !held.is_empty()
                }
                _ => false,
            };
            let missing = known.iter().filter(|layer| !held.contains_key(*layer));
            let missing: Vec<_> = missing.filter(|_| is_due).collect();
            let partial = held.iter().filter_map(|(layer, held)| {
                let layer = layer.as_ref()?;
                self.is_partial(*table, layer, held).then(|| layer.clone())
            });
            let partial: Vec<LayerLabel> = partial.collect();
            (!missing.is_empty() || !partial.is_empty()).then(|| Lacking {
                table: *table,
                layers: missing.into_iter().flatten().cloned().collect(),
                partial,
            })
        });
        lacking.collect()
    }

    /// Whether what there is of a layer is not of all units that are recorded.
    fn is_partial(&self, table: Table, label: &LayerLabel, held: &HeldOfLayer) -> bool {
        let layers = self.topology.layers();
        let Some(index) = layers.iter().position(|layer| layer.layer == *label) else {
            return false;
        };
        let num_units = match table {
            Table::Activations => self.topology.activated(index),
            _ => Some(Cow::Borrowed(&layers[index])),
        };
        let num_units = num_units.map_or(0, |layer| layer.num_recorded_units().into());
        if num_units == 0 {
            return table.has_one_row_a_unit() && held.num_rows > 0;
        }
        let rows_a_unit = held.rows_a_unit(num_units);
        match table {
            _ if table.has_one_row_a_unit() => rows_a_unit != Some(1),
            // Of several tensors, or batches.
            Table::Moments | Table::Activations => rows_a_unit.is_none(),
            _ => false,
        }
    }
}

/// Adds a file with so many rows to what a capture holds.
pub(crate) fn add(held: &mut Held, part: &PartPath, rows: u64) {
    let layers = held.entry(part.table).or_default();
    let of_layer = layers.entry(part.layer.clone()).or_default();
    of_layer.add(part, rows);
}

impl Catalog {
    /// The captures that lack files of a table of which the run's other captures have them, in the order
    /// of the commits: as far as can be told, since a run does not say what each capture is to hold.
    pub fn lacking_captures(&self, info: &RunInfo) -> Vec<LackingCapture> {
        let parts = self
            .files()
            .filter_map(|file| Some((file.path.parse().ok()?, file.rows)));
        let parts: Vec<(PartPath, u64)> = parts.collect();
        let recorded = Recorded::of(parts.iter().map(|(part, _)| part), info);
        let mut held: HashMap<(Rank, CaptureId), Held> = HashMap::new();
        for (part, rows) in parts.iter().filter(|(part, _)| part.table.is_of_captures()) {
            let id = CaptureId {
                epoch: part.epoch,
                step: part.step,
            };
            add(held.entry((part.rank, id)).or_default(), part, *rows);
        }
        let nothing = Held::new();
        let whole = self.captures().iter().map(|capture| capture.id);
        let all_ranks = || recorded.ranks.keys().copied().collect::<Vec<Rank>>();
        let whole = whole.flat_map(|id| all_ranks().into_iter().map(move |rank| (rank, id)));
        let partial = self.partial_captures().iter();
        let partial =
            partial.flat_map(|partial| partial.ranks.iter().map(|&rank| (rank, partial.id)));
        let mut seen = HashSet::new();
        let of_each = whole.chain(partial).filter(|of| seen.insert(*of));
        let lacking = of_each.flat_map(|(rank, id)| {
            let held = held.get(&(rank, id)).unwrap_or(&nothing);
            let lacking = recorded.lacking(rank, held).into_iter();
            lacking.map(move |lacking| LackingCapture {
                id,
                rank,
                table: lacking.table,
                layers: lacking.layers,
                partial: lacking.partial,
            })
        });
        lacking.collect()
    }
}

#[cfg(test)]
mod tests;
