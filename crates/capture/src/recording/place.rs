//! Where a capture's part files go.

use trace::{Generation, Layer, PartPath, Table};

use crate::rows::RowKey;

/// What the part files of a capture have in common.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) key: RowKey,
    pub(super) generation: Generation,
}

impl Place {
    /// Where rows of a table go, of a layer if the table has layers; `sequence` is the number of the file
    /// among those of the same table, capture and layer.
    pub(super) fn path(self, table: Table, layer: Option<&Layer>, sequence: u32) -> PartPath {
        PartPath {
            table,
            epoch: self.key.id.epoch,
            layer: layer.map(|layer| layer.layer.clone()),
            step: self.key.id.step,
            rank: self.key.rank,
            generation: self.generation,
            sequence,
            nonce: None,
        }
    }
}
