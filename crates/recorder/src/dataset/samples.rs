//! Samples: inputs, and what the network should have said of them.

use std::ops::Range;

use trace::Crc32c;

use super::{TargetRows, Targets};

/// Inputs with their targets.
#[derive(Debug, Clone, PartialEq)]
pub struct Samples {
    inputs: Vec<f32>,
    num_inputs: usize,
    targets: Targets,
}

impl Samples {
    /// Joins rows of `num_inputs` inputs with one target each.
    pub(super) fn new(inputs: Vec<f32>, num_inputs: usize, targets: Targets) -> Self {
        assert_eq!(inputs.len(), targets.len() * num_inputs, "one target a row");
        Self {
            inputs,
            num_inputs,
            targets,
        }
    }

    /// The inputs, row-major `[num_samples, num_inputs]`.
    pub fn inputs(&self) -> &[f32] {
        &self.inputs
    }

    /// The inputs of some of the samples, row-major.
    pub fn inputs_of(&self, samples: Range<usize>) -> &[f32] {
        &self.inputs[samples.start * self.num_inputs..samples.end * self.num_inputs]
    }

    /// The targets.
    pub fn targets(&self) -> &Targets {
        &self.targets
    }

    /// Number of inputs of a sample.
    pub fn num_inputs(&self) -> usize {
        self.num_inputs
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.targets.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.targets.is_empty()
    }

    /// Gives up inputs and targets.
    pub(crate) fn into_parts(self) -> (Vec<f32>, Targets) {
        (self.inputs, self.targets)
    }

    /// Some of the samples, in that order.
    pub(super) fn select(&self, rows: &[usize]) -> Self {
        let mut inputs = Vec::with_capacity(rows.len() * self.num_inputs);
        for &row in rows {
            inputs.extend_from_slice(self.inputs_of(row..row + 1));
        }
        Self::new(inputs, self.num_inputs, self.targets.select(rows))
    }

    /// Cuts off the samples from `at` on.
    pub(super) fn split_off(&mut self, at: usize) -> Self {
        Self::new(
            self.inputs.split_off(at * self.num_inputs),
            self.num_inputs,
            self.targets.split_off(at),
        )
    }

    /// The checksum of inputs and targets as little-endian bytes, inputs first.
    pub(super) fn crc32c(&self) -> Crc32c {
        let inputs = self.inputs.iter().flat_map(|x| x.to_le_bytes());
        let bytes: Vec<u8> = match &self.targets {
            Targets::Classes(classes) => inputs
                .chain(classes.iter().flat_map(|c| c.to_le_bytes()))
                .collect(),
            Targets::Soft(floats)
            | Targets::Labels(TargetRows { values: floats, .. })
            | Targets::Values(TargetRows { values: floats, .. }) => inputs
                .chain(floats.iter().flat_map(|p| p.to_le_bytes()))
                .collect(),
        };
        Crc32c::of(&bytes)
    }
}
