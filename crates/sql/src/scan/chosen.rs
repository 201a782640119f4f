//! The files that a scan reads, dealt out to partitions: an index into the snapshot each, and nothing else.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::datasource::listing::PartitionedFile;
use object_store::path::Path;
use trace::{Table, cmp_part_files, is_later_part};

use super::source::Committed;
use crate::run::snapshot::{SharedSnapshot, Snapshot, TraceFile};

/// How files are dealt out to partitions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Dealt {
    /// Each by itself.
    Evenly,
    /// A layer's all to one.
    ByLayer,
}

/// Files of one table, each by its index in the snapshot.
pub(super) struct ChosenFiles {
    snapshot: SharedSnapshot,
    table: Table,
    partitions: Vec<Vec<u32>>,
}

impl fmt::Debug for ChosenFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChosenFiles")
            .field("run", &self.snapshot.run().path())
            .field("table", &self.table)
            .field("num_files", &self.num_files())
            .finish_non_exhaustive()
    }
}

impl ChosenFiles {
    /// The files of a table at `indices`, in the order of epoch, step and topology, those of a layer in the order of
    /// their numbers, in at most `num_partitions` partitions.
    pub(super) fn new(
        snapshot: SharedSnapshot,
        table: Table,
        indices: &[usize],
        dealt: Dealt,
        num_partitions: usize,
    ) -> Self {
        let places = Places::of(&snapshot, table);
        let place = |index: &usize| {
            let file = snapshot.file(*index);
            let position = places.position(file.layer);
            let index = u32::try_from(*index).expect("a run has fewer than 2^32 files");
            ((file.epoch, file.step, position), index)
        };
        let mut sorted: Vec<_> = indices.iter().map(place).collect();
        let path = |index: u32| snapshot.file(index as usize).path;
        sorted.sort_by(|(a, a_index), (b, b_index)| match a.cmp(b) {
            Ordering::Equal => cmp_part_files(path(*a_index), path(*b_index)),
            order => order,
        });
        let files = sorted.into_iter().map(|((_, _, layer), index)| File {
            index,
            bytes: snapshot.file(index as usize).bytes,
            // Layers that the topology does not know are one to it.
            layer: (dealt == Dealt::ByLayer).then(|| layer.unwrap_or(u32::MAX)),
        });
        let partitions = deal(files, num_partitions);
        Self {
            snapshot,
            table,
            partitions,
        }
    }

    pub(super) fn table(&self) -> Table {
        self.table
    }

    pub(super) fn num_files(&self) -> usize {
        self.partitions.iter().map(Vec::len).sum()
    }

    /// The indices of each partition's files, in the order in which they are read.
    pub(super) fn partitions(&self) -> &[Vec<u32>] {
        &self.partitions
    }

    pub(super) fn file(&self, index: u32) -> TraceFile<'_> {
        self.snapshot.file(index as usize)
    }

    /// How many files the snapshot has, of whatever table: their indices are below that.
    pub(super) fn num_known(&self) -> usize {
        self.snapshot.num_files()
    }

    /// Whether `other` has its files from the same snapshot and table, so that one index is one file.
    pub(super) fn is_of_same_table(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.snapshot, &other.snapshot) && self.table == other.table
    }

    /// Whether the rows of each partition ascend by epoch and the first `num_columns` of the table's
    /// [`Table::sort_columns`], as far as that is known without a look at them.
    pub(super) fn ascends_by(&self, num_columns: usize) -> bool {
        let places = Places::of(&self.snapshot, self.table);
        let range = |index: &u32| {
            let file = self.file(*index);
            let (low, high) = match num_columns {
                0 | 1 => (0, 0),
                _ => places.bounds(file.layer)?,
            };
            let step = match num_columns {
                0 => 0,
                _ => file.step?,
            };
            Some(((file.epoch, step, low), (file.epoch, step, high)))
        };
        let path = |index: u32| self.file(index).path;
        self.partitions.iter().all(|files| {
            let mut ranges = files.iter().map(|index| (*index, range(index)));
            let mut last = ranges.next();
            ranges.all(|next| {
                let before = last.replace(next);
                match (before, next) {
                    (Some((before, Some((_, high)))), (after, Some((low, _)))) => {
                        // A layer that is large has several files, of each of which the units are behind those of the
                        // file before.
                        high <= low || is_later_part(self.table, path(before), path(after))
                    }
                    _ => false,
                }
            })
        })
    }

    /// A file as DataFusion's openers want it.
    pub(super) fn partitioned_file(&self, index: u32) -> Result<PartitionedFile> {
        let file = self.file(index);
        let mut partitioned = PartitionedFile::new("", file.bytes);
        // As it stands on disk: `Path::from` would percent-encode it once more.
        partitioned.object_meta.location =
            Path::parse(file.path).map_err(|e| DataFusionError::External(Box::new(e)))?;
        partitioned.partition_values = vec![ScalarValue::Int32(Some(file.epoch))];
        if self.table.has_layer() {
            let layer = file.layer.unwrap_or_default().to_owned();
            partitioned
                .partition_values
                .push(ScalarValue::Utf8(Some(layer)));
        }
        Ok(partitioned.with_extension(Committed {
            index,
            rows: file.rows,
            crc32c: file.crc32c,
            footer: file.footer,
            columns: file.columns.cloned(),
        }))
    }

    /// What the topology and the data say of the files.
    pub(super) fn places(&self) -> Places<'_> {
        Places::of(&self.snapshot, self.table)
    }
}

/// Where the rows of a table's files are among all, by what `run.json` says.
pub(super) struct Places<'a> {
    /// Of each layer its place in the topology, and the first and the last of its neurons.
    layers: HashMap<&'a str, (u32, (i64, i64))>,
    /// The column that rows of one step are sorted by, if there is one.
    pub(super) sorted_by: Option<&'static str>,
    last_sample: i64,
}

impl<'a> Places<'a> {
    fn of(snapshot: &'a Snapshot, table: Table) -> Self {
        let layers = (0..).zip(snapshot.topology().layers());
        let layers = layers.map(|(position, layer)| {
            let neurons = layer.neurons();
            let bounds = (i64::from(neurons.start), i64::from(neurons.end - 1));
            (layer.layer.as_str(), (position, bounds))
        });
        // Where the run does not say how many samples there are, any number from 0 is possible.
        let dataset = snapshot.run().info().dataset.as_ref();
        let last_sample = dataset.map_or(i64::MAX, |dataset| {
            dataset.num_held_out.saturating_sub(1).cast_signed()
        });
        Self {
            layers: layers.collect(),
            sorted_by: table.sort_columns().get(1).copied(),
            last_sample,
        }
    }

    fn position(&self, layer: Option<&str>) -> Option<u32> {
        self.layers.get(layer?).map(|(position, _)| *position)
    }

    /// What the values of that column are between in a layer's files; none if that is not known. Where there is no
    /// such column, all rows of a step are alike.
    pub(super) fn bounds(&self, layer: Option<&str>) -> Option<(i64, i64)> {
        match self.sorted_by {
            None => Some((0, 0)),
            Some("neuron") => self.layers.get(layer?).map(|(_, neurons)| *neurons),
            Some(_) => Some((0, self.last_sample)),
        }
    }
}

/// A file that is dealt out.
struct File {
    index: u32,
    bytes: u64,
    /// The layer whose files have to stay together.
    layer: Option<u32>,
}

/// Deals files out to at most `num_partitions` partitions of about the same size, each in order.
///
/// Neighbours go to different partitions: whoever merges these into one order then takes from all
/// of them in turn, so that they are read at the same time and not one after the other.
fn deal(files: impl Iterator<Item = File>, num_partitions: usize) -> Vec<Vec<u32>> {
    let mut partitions: Vec<(u64, Vec<u32>)> = vec![(0, Vec::new()); num_partitions.max(1)];
    let mut of_layers: HashMap<u32, usize> = HashMap::new();
    for file in files {
        let known = file.layer.and_then(|layer| of_layers.get(&layer).copied());
        let smallest = || (0..partitions.len()).min_by_key(|&partition| partitions[partition].0);
        let partition = known.or_else(smallest).expect("there is one at least");
        if let Some(layer) = file.layer {
            of_layers.insert(layer, partition);
        }
        let (bytes, indices) = &mut partitions[partition];
        *bytes = bytes.saturating_add(file.bytes.max(1));
        indices.push(file.index);
    }
    let filled = partitions.into_iter().map(|(_, indices)| indices);
    let filled = filled.filter(|indices| !indices.is_empty());
    filled
        .map(|mut indices| {
            indices.shrink_to_fit();
            indices
        })
        .collect()
}

#[cfg(test)]
mod tests;
