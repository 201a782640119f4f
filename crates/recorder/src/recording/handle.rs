//! Handles of tensors on the device: nothing is copied or read by making one.

use burn::tensor::backend::{Backend, ExecutionError};
use burn::tensor::{Tensor, TensorData, Transaction};

/// Handle of a float tensor of any rank.
///
/// Tensors are copy-on-write: the handle stays what it was when it was taken, whatever the
/// optimizer does to the network afterwards, for as long as it is held. CubeCL changes a tensor where
/// it is once nobody else holds it, and whoever gives one away to be read holds it no more, though the
/// device has not been told of the read yet. So handles are read by reference, and let go after it.
#[derive(Debug, Clone)]
pub(super) struct TensorHandle<B: Backend>(
    /// Of the rank that its shape says, whatever the type says: handles of every rank go into one
    /// list.
    Tensor<B, 1>,
);

impl<B: Backend> TensorHandle<B> {
    pub(super) fn new<const D: usize>(tensor: Tensor<B, D>) -> Self {
        Self(Tensor::from_primitive(tensor.into_primitive()))
    }

    pub(super) fn num_values(&self) -> usize {
        self.0.shape().num_elements()
    }

    /// What is read from it are 32-bit floats, also of a quantized tensor.
    pub(super) fn register(&self, trip: &mut Trip<B>) {
        trip.0.push(self.0.clone().dequantize());
    }
}

/// Tensors that are read together, in one transaction for each device that they are on: a transaction
/// is one device's, and the parameters of a network may be spread over several.
#[derive(Debug)]
pub(super) struct Trip<B: Backend>(Vec<Tensor<B, 1>>);

impl<B: Backend> Default for Trip<B> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<B: Backend> Trip<B> {
    /// Waits for the values, in the order in which the tensors were registered.
    pub(super) fn read(self) -> Result<Vec<TensorData>, ExecutionError> {
        let mut read: Vec<Option<TensorData>> = vec![None; self.0.len()];
        let mut unread: Vec<(usize, Tensor<B, 1>)> = self.0.into_iter().enumerate().collect();
        while let Some((_, first)) = unread.first() {
            let device = first.device();
            let is_here = |(_, tensor): &(usize, Tensor<B, 1>)| tensor.device() == device;
            let (here, elsewhere) = unread.into_iter().partition(is_here);
            unread = elsewhere;
            let (places, tensors): (Vec<usize>, Vec<_>) = here.into_iter().unzip();
            let transaction = tensors
                .into_iter()
                .fold(Transaction::default(), Transaction::register);
            for (place, values) in places.into_iter().zip(transaction.try_execute()?) {
                read[place] = Some(values);
            }
        }
        let read = read.into_iter();
        Ok(read
            .map(|values| values.expect("every tensor was read"))
            .collect())
    }
}

/// What a batch of samples made of a layer's units, averaged over every further axis: of a convolution
/// that is a small part of its activations, which can go as soon as they are handed over.
#[derive(Debug)]
pub(super) struct BatchHandle<B: Backend> {
    pub(super) num_samples: usize,
    /// `[num_samples, num_units]`.
    values: TensorHandle<B>,
}

/// Along which axis of its activations a layer's units lie; axis 0 has the samples. The further
/// axes are averaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UnitAxis {
    /// Axis 1, before the positions: convolutions and what normalises them.
    First,
    /// The last, after the tokens: everything else.
    Last,
}

impl<B: Backend> BatchHandle<B> {
    /// Averages the further axes, which is a computation on the device. An error is the tensor's shape,
    /// where it has not `num_units` units along that axis.
    pub(super) fn new<const D: usize>(
        tensor: Tensor<B, D>,
        axis: UnitAxis,
        num_units: usize,
    ) -> Result<Self, Vec<usize>> {
        let shape = tensor.dims();
        let found = match axis {
            UnitAxis::First => shape.get(1),
            UnitAxis::Last => shape.get(1..).and_then(<[usize]>::last),
        };
        if found != Some(&num_units) {
            return Err(shape.to_vec());
        }
        let num_samples = shape[0];
        let num_positions: usize = shape[1..].iter().product::<usize>() / num_units.max(1);
        let matrix = [num_samples, num_units];
        let values = match axis {
            _ if D == 2 => tensor.reshape(matrix),
            UnitAxis::First => tensor
                .reshape([num_samples, num_units, num_positions])
                .mean_dim(2)
                .reshape(matrix),
            UnitAxis::Last => tensor
                .reshape([num_samples, num_positions, num_units])
                .mean_dim(1)
                .reshape(matrix),
        };
        Ok(Self {
            num_samples,
            values: TensorHandle::new(values),
        })
    }

    pub(super) fn num_values(&self) -> usize {
        self.values.num_values()
    }

    pub(super) fn register(&self, trip: &mut Trip<B>) {
        self.values.register(trip);
    }
}
