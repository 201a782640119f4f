//! From device to host, a few layers at a time.

use std::collections::VecDeque;

use burn::tensor::backend::{Backend, ExecutionError};
use burn::tensor::{Tensor, TensorData, Transaction};
use burn_std::stream_id::StreamId;

use crate::model::LayerTensors;
use crate::read_back::floats;

/// The part of a capture that is still on the device, in the order in which it is read: the weights
/// of every layer, then the activations of every layer.
///
/// The trips run on the stream of the thread that made the handles (ARCHITECTURE.md, invariant 3):
/// CubeCL gives each thread a stream of its own, and a read on another stream than the writer's may
/// miss later writes on CUDA. So the reading thread takes on that stream.
pub(super) struct Unread<B: Backend> {
    stream: StreamId,
    layers: VecDeque<(usize, Handles<B>)>,
}

/// Handles of what becomes one part file.
enum Handles<B: Backend> {
    Weights(LayerTensors<B>),
    /// By batch.
    Activations(Vec<Tensor<B, 2>>),
}

/// What becomes one part file, on the host and row-major.
#[derive(Debug, PartialEq)]
pub(super) enum Values {
    Weights {
        /// Burn's layout, `[fan_in, num_units]`.
        weight: Vec<f32>,
        bias: Vec<f32>,
    },
    /// `[num_samples, num_units]`.
    Activations(Vec<f32>),
}

impl<B: Backend> Unread<B> {
    /// Both lists are in the topology's order, or empty where that is not recorded.
    pub(super) fn new(
        stream: StreamId,
        weights: Vec<LayerTensors<B>>,
        activations: Vec<Vec<Tensor<B, 2>>>,
    ) -> Self {
        let weights = weights.into_iter().map(Handles::Weights).enumerate();
        let activations = activations
            .into_iter()
            .map(Handles::Activations)
            .enumerate();
        Self {
            stream,
            layers: weights.chain(activations).collect(),
        }
    }

    /// Whether everything was read: no handle is held any more.
    pub(super) fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }

    /// Reads the next layers in one trip, as many as `max_bytes` allow and at least one, and lets
    /// go of their handles. Gives each with its index in the topology.
    pub(super) fn read(&mut self, max_bytes: u64) -> Result<Vec<(usize, Values)>, ExecutionError> {
        let mut trip = Transaction::default();
        let mut trip_bytes = 0;
        let mut num_tensors = Vec::new();
        while let Some((_, handles)) = self.layers.front() {
            trip_bytes += handles.num_bytes();
            if trip_bytes > max_bytes && !num_tensors.is_empty() {
                break;
            }
            let (layer, handles) = self.layers.pop_front().expect("it is in front");
            match handles {
                Handles::Weights(LayerTensors { weight, bias }) => {
                    trip = trip.register(weight).register(bias);
                    num_tensors.push((layer, None));
                }
                Handles::Activations(batches) => {
                    num_tensors.push((layer, Some(batches.len())));
                    trip = batches.into_iter().fold(trip, Transaction::register);
                }
            }
        }
        if num_tensors.is_empty() {
            return Ok(Vec::new());
        }
        let mut read = self.stream.executes(|| trip.try_execute())?.into_iter();
        let values = num_tensors.into_iter().map(|(layer, num_batches)| {
            let values = match num_batches {
                None => {
                    let mut next = || read.next().map(floats).expect("every tensor was read");
                    Values::Weights {
                        weight: next(),
                        bias: next(),
                    }
                }
                Some(num_batches) => Values::Activations(concat(read.by_ref().take(num_batches))),
            };
            (layer, values)
        });
        Ok(values.collect())
    }
}

impl<B: Backend> Handles<B> {
    fn num_bytes(&self) -> u64 {
        let num_values = match self {
            Self::Weights(LayerTensors { weight, bias }) => {
                weight.shape().num_elements() + bias.shape().num_elements()
            }
            Self::Activations(batches) => batches.iter().map(|b| b.shape().num_elements()).sum(),
        };
        4 * num_values as u64
    }
}

/// Batches of one width, one below the other; a single one is not copied.
fn concat(batches: impl Iterator<Item = TensorData>) -> Vec<f32> {
    batches
        .map(floats)
        .reduce(|mut all, batch| {
            all.extend(batch);
            all
        })
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use burn::backend::Flex;

    use super::*;

    /// A layer of 3 units with 2 weights each (36 bytes), 3 and 1 samples of its activations (48
    /// bytes), and a layer of 1 unit with 3 weights (16 bytes).
    fn unread() -> Unread<Flex> {
        let device = Default::default();
        let matrix = |rows: Vec<f32>, shape: [usize; 2]| {
            Tensor::from_data(TensorData::new(rows, shape), &device)
        };
        let layer = |weight, bias: &[f32]| LayerTensors {
            weight,
            bias: Tensor::from_data(TensorData::new(bias.to_vec(), [bias.len()]), &device),
        };
        Unread::new(
            StreamId::current(),
            vec![
                layer(
                    matrix(vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [2, 3]),
                    &[7.0, 8.0, 9.0],
                ),
                layer(matrix(vec![0.5, 1.5, 2.5], [3, 1]), &[3.5]),
            ],
            vec![vec![
                matrix(
                    vec![10.0, 11.0, 12.0, 20.0, 21.0, 22.0, 30.0, 31.0, 32.0],
                    [3, 3],
                ),
                matrix(vec![40.0, 41.0, 42.0], [1, 3]),
            ]],
        )
    }

    fn expected() -> [(usize, Values); 3] {
        let weights = |weight: &[f32], bias: &[f32]| Values::Weights {
            weight: weight.to_vec(),
            bias: bias.to_vec(),
        };
        let activations = [10, 11, 12, 20, 21, 22, 30, 31, 32, 40, 41, 42];
        [
            (
                0,
                weights(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[7.0, 8.0, 9.0]),
            ),
            (1, weights(&[0.5, 1.5, 2.5], &[3.5])),
            (
                0,
                Values::Activations(activations.map(|v| v as f32).to_vec()),
            ),
        ]
    }

    /// How many layers each trip brings; what they bring is always the same.
    fn trips(max_bytes: u64) -> Vec<usize> {
        let mut unread = unread();
        let (mut trips, mut values) = (Vec::new(), Vec::new());
        while !unread.is_empty() {
            let read = unread.read(max_bytes).unwrap();
            trips.push(read.len());
            values.extend(read);
        }
        assert_eq!(values, expected());
        trips
    }

    #[test]
    fn a_trip_brings_as_many_layers_as_there_is_room_for() {
        // 36, 16 and 48 bytes.
        assert_eq!(trips(100), [3]);
        assert_eq!(trips(99), [2, 1]);
        assert_eq!(trips(64), [2, 1]);
        assert_eq!(trips(51), [1, 1, 1]);
    }

    #[test]
    fn a_layer_larger_than_the_room_goes_alone() {
        assert_eq!(trips(0), [1, 1, 1]);
    }

    #[test]
    fn without_handles_there_is_no_trip() {
        let mut unread = Unread::<Flex>::new(StreamId::current(), Vec::new(), Vec::new());
        assert!(unread.is_empty());
        assert_eq!(unread.read(100).unwrap(), []);
    }
}
