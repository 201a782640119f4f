//! A device whose streams run as they like, as CUDA's do: CubeCL's own account of streams, over streams that are
//! lists of work, of which any that need not wait may do the next piece.
//!
//! What runs on which stream, what it waits for, and when memory counts as made, is as in CubeCL's server for CUDA
//! (`cubecl-cuda`, `compute/command.rs`): a stream is told to wait for another where it uses memory that was made
//! there since it waited last. What was written there later is not waited for.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use burn::backend::Flex;
use burn::tensor::backend::{BackendTypes, DTypeUsageSet, DeviceId, DeviceOps, ExecutionError};
use burn::tensor::{DType, Shape, TensorData};
use burn_ir::{NumericOperationIr, OperationIr, TensorId, TensorIr, TensorStatus};
use burn_router::{BackendRouter, MultiBackendBridge, RouterTensor, RunnerChannel, RunnerClient};
use burn_std::future::DynFut;
use burn_std::stream_id::StreamId;
use cubecl_runtime::logging::ServerLogger;
use cubecl_runtime::server::{Binding, Handle, ServerError};
use cubecl_runtime::stream::{EventStreamBackend, MultiStream};

/// A backend that knows tensors of one axis, to which numbers are added.
pub(crate) type Streams = BackendRouter<Channel>;

/// Streams that a device has, as CUDA's at most: threads beyond that share them.
const MAX_STREAMS: u8 = 128;

/// Pieces of work that are done at most between two that are handed in.
const MAX_PIECES: u64 = 4;

/// A device of its own for each number, which is also what chance begins with.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Device(pub(crate) u16);

impl burn_std::device::Device for Device {
    fn from_id(id: DeviceId) -> Self {
        Self(id.index_id)
    }

    fn to_id(&self) -> DeviceId {
        DeviceId {
            type_id: 0,
            index_id: self.0,
        }
    }
}

impl DeviceOps for Device {}

/// A piece of work. Memory is told by its address, and events by their number.
#[derive(Debug)]
enum Work {
    Write { to: u64, values: Vec<f32> },
    Add { from: u64, to: u64, number: f32 },
    Read { from: u64, reply: u64 },
    Event(u64),
    Wait(u64),
}

/// What there is on the device.
#[derive(Debug)]
struct Machine {
    memory: HashMap<u64, Vec<f32>>,
    /// The moments of their streams at which memory was made.
    cursors: HashMap<u64, u64>,
    streams: Vec<VecDeque<Work>>,
    events: HashSet<u64>,
    replies: HashMap<u64, Vec<f32>>,
    /// The last address, event or reply.
    last: u64,
    chance: u64,
}

impl Machine {
    fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// One of so many.
    fn choose(&mut self, number: u64) -> u64 {
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        (self.chance >> 16) % number
    }

    /// Does the next piece of any stream that need not wait; says whether there was one.
    fn work(&mut self) -> bool {
        let is_ready = |work: &Work| match work {
            Work::Wait(event) => self.events.contains(event),
            _ => true,
        };
        let ready = |stream: &VecDeque<Work>| stream.front().is_some_and(is_ready);
        let ready: Vec<usize> = (0..self.streams.len())
            .filter(|index| ready(&self.streams[*index]))
            .collect();
        if ready.is_empty() {
            return false;
        }
        let chosen = ready[self.choose(ready.len() as u64) as usize];
        match self.streams[chosen].pop_front() {
            Some(Work::Write { to, values }) => {
                self.memory.insert(to, values);
            }
            Some(Work::Add { from, to, number }) => {
                let sum = self.at(from).iter().map(|value| value + number).collect();
                self.memory.insert(to, sum);
            }
            Some(Work::Read { from, reply }) => {
                let values = self.at(from).to_vec();
                self.replies.insert(reply, values);
            }
            Some(Work::Event(event)) => {
                self.events.insert(event);
            }
            Some(Work::Wait(_)) | None => {}
        }
        true
    }

    /// What is in memory, if anything was written there yet.
    fn at(&self, address: u64) -> &[f32] {
        self.memory.get(&address).map_or(&[], Vec::as_slice)
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A stream, by its index.
#[derive(Debug)]
struct Stream(usize, Arc<Mutex<Machine>>);

impl Stream {
    fn push(&self, work: Work) {
        lock(&self.1).streams[self.0].push_back(work);
    }
}

#[derive(Debug)]
struct Events(Arc<Mutex<Machine>>);

impl EventStreamBackend for Events {
    type Stream = Stream;
    type Event = u64;

    fn create_stream(&self) -> Stream {
        let streams = &mut lock(&self.0).streams;
        streams.push(VecDeque::new());
        Stream(streams.len() - 1, Arc::clone(&self.0))
    }

    fn handle_cursor(stream: &Stream, handle: &Binding) -> u64 {
        lock(&stream.1).cursors[&address(handle.offset_start)]
    }

    fn is_healthy(_stream: &Stream) -> bool {
        true
    }

    fn flush(stream: &mut Stream) -> u64 {
        let event = lock(&stream.1).next();
        stream.push(Work::Event(event));
        event
    }

    fn wait_event(stream: &mut Stream, event: u64) {
        stream.push(Work::Wait(event));
    }

    /// Memory is waited for here before it is used anew, which it never is.
    fn wait_event_sync(_event: u64) -> Result<(), ServerError> {
        Ok(())
    }
}

fn address(offset: Option<u64>) -> u64 {
    offset.expect("memory is made with an address")
}

/// The way to a device, in the order in which its callers come, as to that of a CUDA device.
#[derive(Clone)]
pub(crate) struct Client {
    device: Device,
    machine: Arc<Mutex<Machine>>,
    streams: Arc<Mutex<MultiStream<Events>>>,
    tensors: Arc<Mutex<HashMap<TensorId, Handle>>>,
}

impl Client {
    fn new(device: &Device) -> Self {
        let machine = Arc::new(Mutex::new(Machine {
            memory: HashMap::new(),
            cursors: HashMap::new(),
            streams: Vec::new(),
            events: HashSet::new(),
            replies: HashMap::new(),
            last: 0,
            chance: 0x9e37_79b9_7f4a_7c15 ^ u64::from(device.0),
        }));
        let events = Events(Arc::clone(&machine));
        let logger = Arc::new(ServerLogger::default());
        Self {
            device: device.clone(),
            machine,
            streams: Arc::new(Mutex::new(MultiStream::new(logger, events, MAX_STREAMS))),
            tensors: Arc::default(),
        }
    }

    /// Hands work in on the stream of the thread, which uses memory that is there and may make `made`; then
    /// the streams do some.
    fn hand_in(&self, used: &[Handle], made: Option<u64>, work: Work) {
        let used: Vec<Binding> = used.iter().cloned().map(Handle::binding).collect();
        let mut streams = lock(&self.streams);
        let resolved = streams.resolve(StreamId::current(), used.iter(), true);
        let mut resolved = resolved.expect("these streams are healthy");
        if let Some(address) = made {
            lock(&self.machine).cursors.insert(address, resolved.cursor);
        }
        resolved.current().push(work);
        drop(resolved);
        let mut machine = lock(&self.machine);
        for _ in 0..machine.choose(MAX_PIECES + 1) {
            machine.work();
        }
    }

    fn make(&self, num_bytes: usize) -> (Handle, u64) {
        let address = lock(&self.machine).next();
        let handle = Handle::new(StreamId::current(), num_bytes as u64);
        (handle.offset_start(address), address)
    }

    fn next_id(&self) -> TensorId {
        TensorId::new(lock(&self.machine).next())
    }

    fn handle(&self, tensor: &TensorIr) -> Handle {
        lock(&self.tensors)[&tensor.id].clone()
    }
}

impl RunnerClient for Client {
    type Device = Device;

    fn register_op(&self, op: OperationIr) {
        match op {
            OperationIr::Init(_) => {}
            OperationIr::Drop(tensor) => {
                lock(&self.tensors).remove(&tensor.id);
            }
            OperationIr::NumericFloat(_, NumericOperationIr::AddScalar(op)) => {
                let number = op.rhs.elem();
                let input = self.handle(&op.lhs);
                let from = address(input.offset_start);
                // Whoever holds a tensor alone has it changed where it is.
                let (output, to, made) = match op.lhs.status {
                    TensorStatus::ReadWrite => {
                        lock(&self.tensors).remove(&op.lhs.id);
                        (input.clone(), from, None)
                    }
                    _ => {
                        let (output, to) = self.make(4 * op.lhs.shape.num_elements());
                        (output, to, Some(to))
                    }
                };
                self.hand_in(&[input], made, Work::Add { from, to, number });
                lock(&self.tensors).insert(op.out.id, output);
            }
            other => panic!("the device knows no {other:?}"),
        }
    }

    fn read_tensor_async(&self, tensor: TensorIr) -> DynFut<Result<TensorData, ExecutionError>> {
        let reply = lock(&self.machine).next();
        let handle = self.handle(&tensor);
        let from = address(handle.offset_start);
        self.hand_in(&[handle], None, Work::Read { from, reply });
        let mut machine = lock(&self.machine);
        let values = loop {
            if let Some(values) = machine.replies.remove(&reply) {
                break values;
            }
            assert!(machine.work(), "all streams wait for another");
        };
        Box::pin(async move { Ok(TensorData::new(values, tensor.shape)) })
    }

    fn sync(&self) -> Result<(), ExecutionError> {
        while lock(&self.machine).work() {}
        Ok(())
    }

    fn create_empty_handle(&self) -> TensorId {
        self.next_id()
    }

    fn register_tensor_data(&self, data: TensorData) -> RouterTensor<Self> {
        let (shape, dtype) = (data.shape.clone(), data.dtype);
        let values: Vec<f32> = data.into_vec().expect("the device knows 32-bit floats");
        let (handle, to) = self.make(4 * values.len());
        self.hand_in(&[], Some(to), Work::Write { to, values });
        let id = self.next_id();
        lock(&self.tensors).insert(id, handle);
        RouterTensor::new(id, shape, dtype, self.clone())
    }

    fn device(&self) -> Device {
        self.device.clone()
    }

    fn seed(&self, _seed: u64) {}

    fn dtype_usage(&self, _dtype: DType) -> DTypeUsageSet {
        DTypeUsageSet::all()
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
        "streams".to_owned()
    }

    fn init_client(device: &Device) -> Client {
        Client::new(device)
    }

    fn get_tensor_handle(tensor: &TensorIr, client: &Client) -> Handle {
        client.handle(tensor)
    }

    fn register_tensor(
        client: &Client,
        handle: Handle,
        shape: Shape,
        dtype: DType,
    ) -> RouterTensor<Client> {
        let id = client.next_id();
        lock(&client.tensors).insert(id, handle);
        RouterTensor::new(id, shape, dtype, client.clone())
    }
}

/// There is nowhere else to go.
#[derive(Debug)]
pub(crate) struct OneDevice;

impl MultiBackendBridge for OneDevice {
    type TensorHandle = Handle;
    type Device = Device;

    fn change_backend_float(tensor: Handle, _: Shape, _: &Device) -> Handle {
        tensor
    }

    fn change_backend_int(tensor: Handle, _: Shape, _: &Device) -> Handle {
        tensor
    }

    fn change_backend_bool(tensor: Handle, _: Shape, _: &Device) -> Handle {
        tensor
    }
}
