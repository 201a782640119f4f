//! From device to host, a few layers at a time.

use std::collections::VecDeque;

use burn::tensor::TensorData;
use burn::tensor::backend::Backend;
use burn_std::stream_id::StreamId;
use capture::rows::SampleSet;
use capture::{BoxError, PartOf, Source, TensorKind, UnreadPart, Values};

use super::handle::{BatchHandle, Trip};
use super::module::LayerHandles;
use super::outputs::Outputs;
use crate::read_back::floats;

/// The part of a capture that is still on the device, in the order in which it is read.
///
/// The trips run on the stream of the thread that made the handles (ARCHITECTURE.md, invariant 3):
/// CubeCL gives each thread a stream of its own, and a read on another stream than the writer's may
/// miss later writes on CUDA. So the reading thread takes on that stream.
pub(super) struct Unread<B: Backend> {
    stream: StreamId,
    handles: VecDeque<Handles<B>>,
}

/// Handles of what becomes one part file, or several where a layer is large.
#[derive(Debug)]
pub(super) enum Handles<B: Backend> {
    /// A tensor for each of a layer's parameters.
    Parameters(TensorKind, LayerHandles<B>),
    /// What batches of samples made of a layer.
    Activations {
        /// Index in the topology.
        layer: usize,
        /// Which samples.
        samples: SampleSet,
        /// In order.
        batches: Vec<BatchHandle<B>>,
    },
    /// What the network said of the held-out samples.
    Outputs(Outputs<B>),
}

impl<B: Backend> Unread<B> {
    /// Handles that this thread has made.
    pub(super) fn here(handles: Vec<Handles<B>>) -> Self {
        Self::new(StreamId::current(), handles)
    }

    fn new(stream: StreamId, handles: Vec<Handles<B>>) -> Self {
        Self {
            stream,
            handles: handles.into(),
        }
    }
}

impl<B: Backend> Source for Unread<B> {
    fn parts(&self) -> Vec<UnreadPart> {
        let handles = self.handles.iter();
        let parts = handles.map(|handles| UnreadPart {
            of: handles.part(),
            num_bytes: handles.num_bytes(),
        });
        parts.collect()
    }

    /// Whether everything was read: no handle is held any more.
    fn is_empty(&self) -> bool {
        self.handles.is_empty()
    }

    /// Reads the next parts in one trip, as many as `max_bytes` allow and at least one, and then lets
    /// go of their handles.
    fn read(&mut self, max_bytes: u64) -> Result<Vec<Values>, BoxError> {
        let mut trip_bytes = 0;
        let mut parts = Vec::new();
        while let Some(handles) = self.handles.front() {
            trip_bytes += handles.num_bytes();
            if trip_bytes > max_bytes && !parts.is_empty() {
                break;
            }
            parts.extend(self.handles.pop_front());
        }
        if parts.is_empty() {
            return Ok(Vec::new());
        }
        let read = self.stream.executes(|| {
            let mut trip = Trip::default();
            parts.iter().for_each(|part| part.register(&mut trip));
            trip.read()
        })?;
        let mut read = read.into_iter();
        // Only now are the handles let go: the values are on the host.
        let values = parts.into_iter().map(|part| part.values(&mut read));
        Ok(values.collect())
    }
}

impl<B: Backend> Handles<B> {
    fn part(&self) -> PartOf {
        match self {
            Self::Parameters(kind, handles) => PartOf::Parameters {
                kind: *kind,
                layer: handles.layer,
            },
            Self::Activations { layer, .. } => PartOf::Activations { layer: *layer },
            Self::Outputs(_) => PartOf::Classifications,
        }
    }

    fn num_bytes(&self) -> u64 {
        let num_values = match self {
            Self::Parameters(_, layer) => {
                let bias = layer.bias.as_ref().map_or(0, |bias| bias.num_values());
                layer.weight.num_values() + bias
            }
            Self::Activations { batches, .. } => batches.iter().map(|b| b.num_values()).sum(),
            Self::Outputs(outputs) => outputs.num_values(),
        };
        4 * num_values as u64
    }

    fn register(&self, trip: &mut Trip<B>) {
        match self {
            Self::Parameters(_, LayerHandles { weight, bias, .. }) => {
                weight.register(trip);
                bias.iter().for_each(|bias| bias.register(trip));
            }
            Self::Activations { batches, .. } => {
                batches.iter().for_each(|batch| batch.register(trip));
            }
            Self::Outputs(outputs) => outputs.register(trip),
        }
    }

    /// Takes its values from what a trip brought.
    fn values(self, read: &mut impl Iterator<Item = TensorData>) -> Values {
        let mut next = || read.next().map(floats).expect("every tensor was read");
        match self {
            Self::Parameters(kind, LayerHandles { layer, bias, .. }) => Values::Parameters {
                kind,
                layer,
                weight: next(),
                bias: bias.map(|_| next()),
            },
            Self::Activations {
                layer,
                samples,
                batches,
            } => Values::Activations {
                layer,
                samples,
                values: concat(read.take(batches.len())),
            },
            Self::Outputs(outputs) => {
                let logits = concat(read.take(outputs.num_batches()));
                Values::Logits(outputs.with_values(logits))
            }
        }
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
    use burn::tensor::Tensor;
    use capture::{Loss, Targets};
    use crossbeam_channel::bounded;

    use super::super::handle::{TensorHandle, UnitAxis};
    use super::*;
    use crate::device::on_device;
    use crate::device::testing::resolved_devices;
    use crate::testing::streams::{Device, Streams};

    fn tensor<const D: usize>(values: &[f32], shape: [usize; D]) -> Tensor<Flex, D> {
        Tensor::from_data(TensorData::new(values.to_vec(), shape), &Default::default())
    }

    fn batch<const D: usize>(values: &[f32], shape: [usize; D]) -> BatchHandle<Flex> {
        BatchHandle::new(tensor(values, shape), UnitAxis::Last, shape[D - 1]).unwrap()
    }

    fn weights<B: Backend, const D: usize>(
        layer: usize,
        weight: Tensor<B, D>,
        bias: Option<Tensor<B, 1>>,
    ) -> Handles<B> {
        let handles = LayerHandles {
            layer,
            weight: TensorHandle::new(weight),
            bias: bias.map(TensorHandle::new),
        };
        Handles::Parameters(TensorKind::Weights, handles)
    }

    /// A layer of 3 units with 2 weights each (36 bytes), one of 1 unit with 3 weights and no bias
    /// (12 bytes), and 3 and 1 samples of the first's activations (48 bytes).
    fn unread() -> Unread<Flex> {
        let first = tensor(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [2, 3]);
        let bias = tensor(&[7.0, 8.0, 9.0], [3]);
        let batches = vec![
            batch(
                &[10.0, 11.0, 12.0, 20.0, 21.0, 22.0, 30.0, 31.0, 32.0],
                [3, 3],
            ),
            batch(&[40.0, 41.0, 42.0], [1, 3]),
        ];
        Unread::new(
            StreamId::current(),
            vec![
                weights(0, first, Some(bias)),
                weights(1, tensor(&[0.5, 1.5, 2.5], [3, 1]), None),
                Handles::Activations {
                    layer: 0,
                    samples: SampleSet::HELD_OUT,
                    batches,
                },
            ],
        )
    }

    fn expected() -> [Values; 3] {
        let activations = [10, 11, 12, 20, 21, 22, 30, 31, 32, 40, 41, 42];
        [
            Values::Parameters {
                kind: TensorKind::Weights,
                layer: 0,
                weight: vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
                bias: Some(vec![7.0, 8.0, 9.0]),
            },
            Values::Parameters {
                kind: TensorKind::Weights,
                layer: 1,
                weight: vec![0.5, 1.5, 2.5],
                bias: None,
            },
            Values::Activations {
                layer: 0,
                samples: SampleSet::HELD_OUT,
                values: activations.map(|v| v as f32).to_vec(),
            },
        ]
    }

    /// How many parts each trip brings; what they bring is always the same.
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
    fn a_trip_brings_as_many_parts_as_there_is_room_for() {
        // 36, 12 and 48 bytes.
        assert_eq!(trips(96), [3]);
        assert_eq!(trips(95), [2, 1]);
        assert_eq!(trips(60), [2, 1]);
        assert_eq!(trips(47), [1, 1, 1]);
    }

    #[test]
    fn a_part_larger_than_the_room_goes_alone() {
        assert_eq!(trips(0), [1, 1, 1]);
    }

    #[test]
    fn without_handles_there_is_no_trip() {
        let mut unread = Unread::<Flex>::new(StreamId::current(), Vec::new());
        assert!(unread.is_empty());
        assert_eq!(unread.read(100).unwrap(), []);
    }

    fn read_activations(batch: BatchHandle<Flex>) -> Vec<f32> {
        let handles = Handles::Activations {
            layer: 0,
            samples: SampleSet::train(7),
            batches: vec![batch],
        };
        let mut read = Unread::new(StreamId::current(), vec![handles])
            .read(0)
            .unwrap();
        match read.pop() {
            Some(Values::Activations { values, .. }) => values,
            other => panic!("{other:?}"),
        }
    }

    /// Hands over a layer's weights and what it makes of a sample at 8 positions, all of them
    /// `value`, then lets the device change them where they are, as fast as it can be told to, while
    /// another thread reads them.
    fn reads_while_tensors_change<B: Backend>(device: &B::Device, name: &str) {
        let (hand_over, handed_over) = bounded::<(f32, Unread<B>)>(0);
        let reader = std::thread::spawn(move || {
            let is_wrong = |value: f32, mut unread: Unread<B>| {
                let read = unread.read(u64::MAX).unwrap();
                let values = read.iter().flat_map(|part| match part {
                    Values::Parameters { weight, .. } => weight,
                    Values::Activations { values, .. } => values,
                    Values::Classifications(_) | Values::Logits(_) => {
                        unreachable!("none was put in")
                    }
                });
                values.copied().any(|read| read != value)
            };
            let handed_over = handed_over.into_iter();
            let wrong = handed_over.filter_map(|(v, unread)| is_wrong(v, unread).then_some(v));
            wrong.collect::<Vec<_>>()
        });
        let mut layers: Vec<_> = (0..6)
            .map(|_| Tensor::<B, 1>::zeros([64], device))
            .collect();
        let mut activations = Tensor::<B, 3>::zeros([1, 8, 8], device);
        for value in (0..800).step_by(8) {
            let mut handles: Vec<_> = layers.iter().map(|l| weights(0, l.clone(), None)).collect();
            handles.push(Handles::Activations {
                layer: 0,
                samples: SampleSet::HELD_OUT,
                batches: vec![BatchHandle::new(activations.clone(), UnitAxis::First, 8).unwrap()],
            });
            let unread = Unread::new(StreamId::current(), handles);
            hand_over.send((value as f32, unread)).unwrap();
            for _ in 0..8 {
                for layer in &mut layers {
                    layer.inplace(|layer| layer.add_scalar(1));
                }
                activations.inplace(|activations| activations.add_scalar(1));
            }
        }
        drop(hand_over);
        assert_eq!(reader.join().unwrap(), [0.0; 0], "{name}");
    }

    #[test]
    fn what_is_read_is_what_was_handed_over_while_it_is_changed() {
        for device in resolved_devices() {
            let name = device.to_string();
            on_device!(device, reads_while_tensors_change(&name));
        }
    }

    /// A layer is handed over again and again, and changed where it is after each read. Counts the reads of
    /// another value than it had when it was handed over, on a device whose streams run as they like.
    fn wrong_reads(device: &Device, takes_on_the_stream: bool) -> usize {
        let (hand_over, handed_over) = bounded::<Unread<Streams>>(0);
        let (answer, answers) = bounded(0);
        let reader = std::thread::spawn(move || {
            for mut unread in handed_over {
                if !takes_on_the_stream {
                    unread.stream = StreamId::current();
                }
                answer.send(unread.read(u64::MAX).unwrap()).unwrap();
            }
        });
        let mut layer = Tensor::<Streams, 1>::from_data([0.0, 0.0], device);
        let mut num_wrong = 0;
        for value in (0..1500).step_by(3) {
            let handles = vec![weights(0, layer.clone(), None)];
            hand_over.send(Unread::here(handles)).unwrap();
            let read = answers.recv().unwrap();
            let [Values::Parameters { weight, .. }] = &read[..] else {
                panic!("{read:?}")
            };
            num_wrong += usize::from(*weight != [value as f32; 2]);
            for _ in 0..3 {
                layer = layer.add_scalar(1);
            }
        }
        drop(hand_over);
        reader.join().unwrap();
        num_wrong
    }

    #[test]
    fn a_read_sees_what_was_written_on_streams_that_run_as_they_like() {
        assert_eq!(wrong_reads(&Device(1), true), 0);
    }

    /// What the test above would notice.
    #[test]
    fn a_read_on_the_readers_own_stream_would_miss_writes() {
        let num_wrong = wrong_reads(&Device(2), false);
        assert!(num_wrong > 30, "{num_wrong} of 500");
    }

    #[test]
    fn further_axes_are_averaged() {
        // Two samples, three tokens, two units.
        let tokens = [1.0, 2.0, 3.0, 4.0, 5.0, 9.0, 0.0, 0.0, 0.0, 3.0, 3.0, 0.0];
        let last = batch(&tokens, [2, 3, 2]);
        assert_eq!(read_activations(last), [3.0, 5.0, 1.0, 1.0]);
        // One sample, two channels of 2 x 2 positions.
        let image = tensor(&[1.0, 2.0, 3.0, 4.0, 0.0, 0.0, 0.0, 8.0], [1, 2, 2, 2]);
        let first = BatchHandle::new(image, UnitAxis::First, 2).unwrap();
        assert_eq!(read_activations(first), [2.5, 2.0]);
    }

    #[test]
    fn activations_of_another_layer_are_refused() {
        let refused = |axis| BatchHandle::new(tensor(&[0.0; 12], [2, 3, 2]), axis, 5).unwrap_err();
        assert_eq!(refused(UnitAxis::First), [2, 3, 2]);
        assert_eq!(refused(UnitAxis::Last), [2, 3, 2]);
        let scalars = BatchHandle::new(tensor(&[0.0; 3], [3]), UnitAxis::Last, 3);
        assert_eq!(scalars.unwrap_err(), [3]);
    }

    #[test]
    fn outputs_are_classified_over_all_batches() {
        let logits = |values: &[f32]| tensor(values, [values.len() / 2, 2]);
        let loss = Loss::SoftmaxCrossEntropy;
        let classes = |classes: &[i32]| Targets::Classes(classes.to_vec());
        let mut outputs = Outputs::new(loss, logits(&[1.0, 0.0, 0.0, 1.0]), classes(&[0, 0]));
        let more = Outputs::new(loss, logits(&[0.0, 5.0]), classes(&[1])).unwrap();
        outputs.as_mut().unwrap().append(more).unwrap();
        let handles = vec![Handles::Outputs(outputs.unwrap())];
        let read = Unread::new(StreamId::current(), handles).read(0).unwrap();
        let [Values::Logits(logits)] = &read[..] else {
            panic!("{read:?}")
        };
        let rows = logits.classify();
        assert_eq!(rows.correct, [Some(true), Some(false), Some(true)]);
        assert_eq!(rows.target, [Some(0), Some(0), Some(1)]);
    }

    #[test]
    fn outputs_and_targets_have_to_fit() {
        let loss = Loss::SoftmaxCrossEntropy;
        let refused = |targets| {
            let outputs = Outputs::new(loss, tensor(&[0.0; 4], [2, 2]), targets);
            outputs.unwrap_err()
        };
        assert_eq!(
            refused(Targets::Classes(vec![0])),
            "there are 1 targets for 2 samples"
        );
        assert_eq!(
            refused(Targets::Classes(vec![0, 2])),
            "target 2 is no class: there are 2 outputs, from 0"
        );
        assert_eq!(
            refused(Targets::Soft(vec![0.0, 1.0])),
            "SoftmaxCrossEntropy has no use for these targets"
        );
    }
}
