//! A network's layers, as a recording needs them.

use std::borrow::Cow;

use trace::{Layer, Topology};

use crate::layout::UnitRows;

/// The layers of a network: what they are, and how the weights of each become rows.
#[derive(Debug, Clone)]
pub struct NetworkLayers {
    topology: Topology,
    /// By layer.
    rows: Vec<UnitRows>,
}

impl NetworkLayers {
    /// Layers, and how each one's weight becomes rows, in the topology's order.
    ///
    /// # Panics
    /// If there are not as many of either.
    pub fn new(topology: Topology, rows: Vec<UnitRows>) -> Self {
        assert_eq!(topology.layers().len(), rows.len(), "rows of every layer");
        Self { topology, rows }
    }

    /// What the layers are.
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// How a layer's weight becomes rows.
    pub fn rows(&self, layer: usize) -> &UnitRows {
        &self.rows[layer]
    }

    /// How each layer's weight becomes rows, in the topology's order.
    pub fn into_rows(self) -> Vec<UnitRows> {
        self.rows
    }

    /// The layer as its activations have it; none if those cannot be numbered.
    pub fn activated(&self, layer: usize) -> Option<Cow<'_, Layer>> {
        self.topology.activated(layer)
    }
}
