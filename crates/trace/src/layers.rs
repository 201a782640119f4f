//! Whether a capture has all its layers: what a run has of one table at one moment it has at the others.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::catalog::Catalog;
use crate::commit::CaptureId;
use crate::id::{LayerLabel, Rank};
use crate::part::PartPath;
use crate::run::RunInfo;
use crate::table::Table;

/// A committed capture that lacks files of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LackingCapture {
    /// Epoch and step.
    pub id: CaptureId,
    /// The process whose part lacks them.
    pub rank: Rank,
    /// The table.
    pub table: Table,
    /// The layers of which there is no file; empty where the table has no layers.
    pub layers: Vec<LayerLabel>,
}

/// The tables of which a capture has files, and of which layers (none in tables without layers).
pub(crate) type Held = BTreeMap<Table, BTreeSet<Option<LayerLabel>>>;

/// What a run's captures hold, by the process that recorded them.
#[derive(Debug, Default)]
pub(crate) struct Recorded {
    ranks: BTreeMap<Rank, Held>,
    /// Whether every capture is of one network that is computed in the same way each time.
    is_rebuildable: bool,
}

impl Recorded {
    /// What the captures of these files hold together.
    pub(crate) fn of<'a>(parts: impl Iterator<Item = &'a PartPath>, info: &RunInfo) -> Self {
        let mut ranks: BTreeMap<Rank, Held> = BTreeMap::new();
        for part in parts.filter(|part| part.table.is_of_captures()) {
            add(ranks.entry(part.rank).or_default(), part);
        }
        Self {
            ranks,
            is_rebuildable: !info.model.is_null(),
        }
    }

    /// What a capture of `rank` lacks that has these files. Of weights there are those of all layers
    /// that are recorded at any time. Of a network that can be rebuilt the same holds of what it makes of
    /// held-out samples, and of gradients where there are any; of somebody's own a layer may be left out of
    /// one pass and not of the next. Histograms are of finite values, of which a layer may have none.
    pub(crate) fn lacking(&self, rank: Rank, held: &Held) -> Vec<(Table, Vec<LayerLabel>)> {
        let nothing = BTreeSet::new();
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
            let missing: Vec<_> = known.difference(held).collect();
            (is_due && !missing.is_empty())
                .then(|| (*table, missing.into_iter().flatten().cloned().collect()))
        });
        lacking.collect()
    }
}

/// Adds a file to what a capture holds.
pub(crate) fn add(held: &mut Held, part: &PartPath) {
    held.entry(part.table)
        .or_default()
        .insert(part.layer.clone());
}

impl Catalog {
    /// The captures that lack files of a table of which the run's other captures have them, in the order
    /// of the commits: as far as can be told, since a run does not say what each capture is to hold.
    pub fn lacking_captures(&self, info: &RunInfo) -> Vec<LackingCapture> {
        let parts: Vec<PartPath> = self.files().flat_map(|file| file.path.parse()).collect();
        let recorded = Recorded::of(parts.iter(), info);
        let mut held: HashMap<(Rank, CaptureId), Held> = HashMap::new();
        for part in parts.iter().filter(|part| part.table.is_of_captures()) {
            let id = CaptureId {
                epoch: part.epoch,
                step: part.step,
            };
            add(held.entry((part.rank, id)).or_default(), part);
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
            lacking.map(move |(table, layers)| LackingCapture {
                id,
                rank,
                table,
                layers,
            })
        });
        lacking.collect()
    }
}

#[cfg(test)]
mod tests;
