//! Whether ranks hold the same weights: one checksum of all parameters a capture, as a metric, that
//! `sink verify` holds against rank 0's.
//!
//! Each rank records its share of the layers, so that it takes one to see that the others' are not what
//! they should be. A layer that a rank does not record is read all the same, and gone once it is counted.

use trace::{Crc32c, PARAMETERS_CRC32C, Topology};

use super::source::{TensorKind, Values};
use crate::rows::Metric;

/// Values that become bytes at once.
const CHUNK: usize = 4096;

/// The checksum of all parameters of a network, of which layers come one by one.
///
/// It is of the layers' own, each as 4 little-endian bytes, in the topology's order. A layer's is of the
/// weights, as the framework keeps them, and the biases, as little-endian 32-bit floats.
#[derive(Debug)]
pub(super) struct ParametersCrc {
    /// By layer.
    layers: Vec<Option<Crc32c>>,
}

impl ParametersCrc {
    /// What is no parameter counts as nothing: ranks see other samples, and have other running means.
    pub(super) fn new(topology: &Topology) -> Self {
        let layers = topology.layers().iter();
        let nothing = layers.map(|layer| {
            let has_parameters = !layer.is_buffer() && layer.fan_in > 0;
            (!has_parameters).then(|| Crc32c::of(&[]))
        });
        Self {
            layers: nothing.collect(),
        }
    }

    /// Counts a layer's parameters; what else was read is left alone.
    pub(super) fn add(&mut self, values: &Values) {
        let Values::Parameters {
            kind: TensorKind::Weights | TensorKind::Checked,
            layer,
            weight,
            bias,
        } = values
        else {
            return;
        };
        if self.layers[*layer].is_some() {
            return;
        }
        let biases = bias.as_deref().unwrap_or_default();
        let mut bytes = Vec::with_capacity(4 * CHUNK);
        let mut crc = Crc32c::of(&[]);
        for chunk in weight.chunks(CHUNK).chain(biases.chunks(CHUNK)) {
            bytes.clear();
            bytes.extend(chunk.iter().flat_map(|value| value.to_le_bytes()));
            crc = crc.append(&bytes);
        }
        self.layers[*layer] = Some(crc);
    }

    /// The checksum; none if a layer is missing.
    pub(super) fn metric(self) -> Option<Metric> {
        let layers: Option<Vec<Crc32c>> = self.layers.into_iter().collect();
        let bytes: Vec<u8> = layers?.iter().flat_map(|crc| crc.0.to_le_bytes()).collect();
        Some(Metric {
            phase: None,
            name: PARAMETERS_CRC32C.to_owned(),
            value: Crc32c::of(&bytes).0.into(),
        })
    }
}
