//! Device to host.

use burn::tensor::backend::{Backend, ExecutionError};
use burn::tensor::{Tensor, TensorData, Transaction};
use burn_std::stream_id::StreamId;

/// Reads a tensor's values in row-major order, and waits for the device.
pub(crate) fn to_vec<B: Backend, const D: usize>(
    tensor: Tensor<B, D>,
) -> Result<Vec<f32>, ExecutionError> {
    Ok(floats(tensor.try_into_data()?))
}

/// Reads matrices of equal width, one below the other, and waits for the device once.
pub(crate) fn rows_to_vec<B: Backend>(
    mut tensors: Vec<Tensor<B, 2>>,
) -> Result<Vec<f32>, ExecutionError> {
    match tensors.len() {
        0 => Ok(Vec::new()),
        1 => to_vec(tensors.remove(0)),
        _ => to_vec(Tensor::cat(tensors, 0)),
    }
}

fn floats(data: TensorData) -> Vec<f32> {
    data.convert::<f32>()
        .into_vec()
        .expect("the values were converted to f32")
}

/// Reads many tensors in few trips, on the stream that computed them.
///
/// CubeCL gives each thread a stream of its own, and a read on another stream than the writer's
/// may miss later writes on CUDA: so the reading thread takes on the stream of the thread that
/// made the handles.
pub(crate) struct ReadBack<B: Backend> {
    stream: StreamId,
    max_bytes: u64,
    pending: Transaction<B>,
    pending_bytes: u64,
    read: Vec<Vec<f32>>,
}

impl<B: Backend> ReadBack<B> {
    /// A trip reads at most `max_bytes`; a larger tensor goes alone.
    pub(crate) fn new(stream: StreamId, max_bytes: u64) -> Self {
        Self {
            stream,
            max_bytes,
            pending: Transaction::default(),
            pending_bytes: 0,
            read: Vec::new(),
        }
    }

    pub(crate) fn push<const D: usize>(
        &mut self,
        tensor: Tensor<B, D>,
    ) -> Result<(), ExecutionError> {
        let bytes = 4 * tensor.shape().num_elements() as u64;
        if self.pending_bytes > 0 && self.pending_bytes + bytes > self.max_bytes {
            self.execute()?;
        }
        self.pending_bytes += bytes;
        self.pending = std::mem::take(&mut self.pending).register(tensor);
        Ok(())
    }

    /// The tensors' values, row-major, in the order in which they were pushed.
    pub(crate) fn finish(mut self) -> Result<Vec<Vec<f32>>, ExecutionError> {
        self.execute()?;
        Ok(self.read)
    }

    fn execute(&mut self) -> Result<(), ExecutionError> {
        if self.pending_bytes == 0 {
            return Ok(());
        }
        let pending = std::mem::take(&mut self.pending);
        self.pending_bytes = 0;
        let read = self.stream.executes(|| pending.try_execute())?;
        self.read.extend(read.into_iter().map(floats));
        Ok(())
    }
}
