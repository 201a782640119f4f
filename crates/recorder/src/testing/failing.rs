//! A backend that fails as CUDA's does: what goes wrong with a kernel is told by the next read on its
//! stream, whoever reads.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use burn::backend::Flex;
use burn::tensor::backend::{BackendTypes, DTypeUsageSet, ExecutionError};
use burn::tensor::{DType, Shape, TensorData};
use burn_ir::{BackendIr, OperationIr, TensorId, TensorIr, TensorStatus};
use burn_router::{
    BackendRouter, MultiBackendBridge, RouterTensor, Runner, RunnerChannel, RunnerClient,
};
use burn_std::future::DynFut;
use burn_std::stream_id::StreamId;

/// [`Flex`], whose next read fails once [`fail`] was called.
pub(crate) type Failing = BackendRouter<Channel>;

type Device = <Flex as BackendTypes>::Device;

/// Streams whose next read fails.
static FAILED: Mutex<Option<HashSet<StreamId>>> = Mutex::new(None);

/// What a kernel on this thread's stream does that cannot be launched.
pub(crate) fn fail() {
    let failed = &mut *FAILED.lock().unwrap_or_else(PoisonError::into_inner);
    failed.get_or_insert_default().insert(StreamId::current());
}

/// Takes the failure of this thread's stream.
fn take_failure() -> bool {
    let failed = &mut *FAILED.lock().unwrap_or_else(PoisonError::into_inner);
    failed
        .as_mut()
        .is_some_and(|failed| failed.remove(&StreamId::current()))
}

#[derive(Debug, Clone)]
pub(crate) struct Client(Runner<Flex>);

impl RunnerClient for Client {
    type Device = Device;

    /// A tensor is kept, whoever had its last handle. The router counts a handle out before it
    /// registers the operation that the handle was given to, so that a handle dropped meanwhile on
    /// another thread takes for the last one, and the tensor would be gone when the operation runs.
    fn register_op(&self, mut op: OperationIr) {
        if matches!(op, OperationIr::Drop(_)) {
            return;
        }
        let inputs: Vec<TensorId> = op.inputs().map(|tensor| tensor.id).collect();
        op.mark_read_only(&inputs);
        self.0.register_op(op);
    }

    fn read_tensor_async(
        &self,
        mut tensor: TensorIr,
    ) -> DynFut<Result<TensorData, ExecutionError>> {
        tensor.status = TensorStatus::ReadOnly;
        let read = self.0.read_tensor_async(tensor);
        if take_failure() {
            let reason = "a kernel could not be launched".to_owned();
            return Box::pin(async { Err(ExecutionError::WithContext { reason }) });
        }
        read
    }

    fn sync(&self) -> Result<(), ExecutionError> {
        self.0.sync()
    }

    fn create_empty_handle(&self) -> TensorId {
        self.0.create_empty_handle()
    }

    fn register_tensor_data(&self, data: TensorData) -> RouterTensor<Self> {
        let tensor = self.0.register_tensor_data_desc(data);
        RouterTensor::new(tensor.id, tensor.shape, tensor.dtype, self.clone())
    }

    fn device(&self) -> Device {
        self.0.device()
    }

    fn seed(&self, seed: u64) {
        self.0.seed(seed);
    }

    fn dtype_usage(&self, dtype: DType) -> DTypeUsageSet {
        self.0.dtype_usage(dtype)
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Channel;

impl RunnerChannel for Channel {
    type Device = Device;
    type Bridge = OneDevice;
    type Client = Client;
    type FloatElem = <Flex as BackendTypes>::FloatElem;
    type IntElem = <Flex as BackendTypes>::IntElem;
    type BoolElem = <Flex as BackendTypes>::BoolElem;

    fn name(_: &Device) -> String {
        "failing".to_owned()
    }

    fn init_client(device: &Device) -> Client {
        Client(Runner::new(*device))
    }

    fn get_tensor_handle(tensor: &TensorIr, client: &Client) -> <Flex as BackendIr>::Handle {
        client.0.get_tensor_handle(tensor)
    }

    fn register_tensor(
        client: &Client,
        handle: <Flex as BackendIr>::Handle,
        shape: Shape,
        dtype: DType,
    ) -> RouterTensor<Client> {
        client
            .0
            .register_tensor(handle, shape, dtype, client.clone())
    }
}

/// There is nowhere else to go.
#[derive(Debug)]
pub(crate) struct OneDevice;

impl MultiBackendBridge for OneDevice {
    type TensorHandle = <Flex as BackendIr>::Handle;
    type Device = Device;

    fn change_backend_float(
        tensor: Self::TensorHandle,
        _: Shape,
        _: &Device,
    ) -> Self::TensorHandle {
        tensor
    }

    fn change_backend_int(tensor: Self::TensorHandle, _: Shape, _: &Device) -> Self::TensorHandle {
        tensor
    }

    fn change_backend_bool(tensor: Self::TensorHandle, _: Shape, _: &Device) -> Self::TensorHandle {
        tensor
    }
}
