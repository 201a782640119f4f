//! What the threads of a sink agree by, for a model of them: shuttle's, which runs the threads one at a time and
//! chooses at each operation which is next. The model of the hand-off (`crates/capture/tests/model/`) has this file
//! as well.
//!
//! Each can be broken ([`break_down`]), to see that the model notices.

use std::cell::Cell;

pub(crate) use shuttle::sync::{Arc, Mutex, MutexGuard, PoisonError};
pub(crate) use shuttle::thread;

/// What does not work as it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nobody who waits for a budget to change is woken.
    Condvar,
    /// Who waits for a message is not woken by one.
    Send,
    /// Who waits for room in a channel is not woken.
    Receive,
    /// Who waits for a message is not woken once nobody is left who could send one.
    Disconnect,
    /// A message is lost.
    Loss,
    /// What was noted once is not seen by others.
    Once,
    /// What was noted is taken for true before it is.
    Flag,
    /// Numbers are not given in their order.
    Numbers,
    /// What is given back of a number is less than was taken.
    GiveBack,
}

thread_local! {
    static FAULT: Cell<Option<Fault>> = const { Cell::new(None) };
    static CAPACITY: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// From now on one of them is broken, on this thread.
pub(crate) fn break_down(fault: Fault) {
    FAULT.set(Some(fault));
}

/// From now on channels hold so many messages at most, whatever is asked for: none would be full in a model.
pub(crate) fn limit_channels(capacity: usize) {
    CAPACITY.set(capacity);
}

fn is_broken(fault: Fault) -> bool {
    FAULT.get() == Some(fault)
}

/// Waits for a change, and is woken by one.
#[derive(Debug)]
pub(crate) struct Condvar(shuttle::sync::Condvar);

impl Condvar {
    pub(crate) fn new() -> Self {
        Self(shuttle::sync::Condvar::new())
    }

    pub(crate) fn wait<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
    ) -> shuttle::sync::LockResult<MutexGuard<'a, T>> {
        self.0.wait(guard)
    }

    pub(crate) fn notify_all(&self) {
        if !is_broken(Fault::Condvar) {
            self.0.notify_all();
        }
    }
}

/// What is noted once. Between a look and what it sees any other thread may come.
#[derive(Debug)]
pub(crate) struct OnceLock<T> {
    value: std::sync::OnceLock<T>,
    is_set: shuttle::sync::atomic::AtomicBool,
}

impl<T> OnceLock<T> {
    pub(crate) fn new() -> Self {
        Self {
            value: std::sync::OnceLock::new(),
            is_set: shuttle::sync::atomic::AtomicBool::new(false),
        }
    }

    pub(crate) fn get(&self) -> Option<&T> {
        self.is_set.load(atomic::Ordering::SeqCst);
        match is_broken(Fault::Once) {
            true => None,
            false => self.value.get(),
        }
    }

    pub(crate) fn set(&self, value: T) -> Result<(), T> {
        self.is_set.store(true, atomic::Ordering::SeqCst);
        self.value.set(value)
    }
}

/// A moment of a clock that goes on by chance: between two looks no time may have gone by, or much.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Instant(std::time::Duration);

thread_local! {
    static NOW: Cell<std::time::Duration> = const { Cell::new(std::time::Duration::ZERO) };
}

/// What a clock goes on by at most between two looks.
const SPAN_MS: u64 = 400;

impl Instant {
    pub(crate) fn now() -> Self {
        use shuttle::rand::Rng;
        let ms = match shuttle::rand::thread_rng().gen_range(0..4) {
            0 => SPAN_MS,
            1 => 1,
            _ => 0,
        };
        Self(pass(std::time::Duration::from_millis(ms)))
    }

    pub(crate) fn elapsed(&self) -> std::time::Duration {
        Self::now().0 - self.0
    }
}

/// Time goes by, until the moment that is returned.
fn pass(time: std::time::Duration) -> std::time::Duration {
    let now = NOW.get() + time;
    NOW.set(now);
    now
}

pub(crate) mod atomic {
    use super::{Fault, is_broken};

    pub(crate) use shuttle::sync::atomic::{AtomicUsize, Ordering};

    #[derive(Debug)]
    pub(crate) struct AtomicBool(shuttle::sync::atomic::AtomicBool);

    impl AtomicBool {
        pub(crate) fn new(value: bool) -> Self {
            Self(shuttle::sync::atomic::AtomicBool::new(value))
        }

        /// Of those that are taken for true too early the flag of a session that is finished is the one that says
        /// so with [`Ordering::Acquire`].
        pub(crate) fn load(&self, order: Ordering) -> bool {
            self.0.load(order) || (order == Ordering::Acquire && is_broken(Fault::Flag))
        }

        pub(crate) fn store(&self, value: bool, order: Ordering) {
            self.0.store(value, order);
        }
    }

    #[derive(Debug)]
    pub(crate) struct AtomicU64(shuttle::sync::atomic::AtomicU64);

    impl AtomicU64 {
        pub(crate) fn new(value: u64) -> Self {
            Self(shuttle::sync::atomic::AtomicU64::new(value))
        }

        pub(crate) fn load(&self, order: Ordering) -> u64 {
            self.0.load(order)
        }

        /// Broken, the first two numbers change places, and every two after them.
        pub(crate) fn fetch_add(&self, value: u64, order: Ordering) -> u64 {
            self.0.fetch_add(value, order) ^ u64::from(is_broken(Fault::Numbers))
        }

        pub(crate) fn fetch_sub(&self, value: u64, order: Ordering) -> u64 {
            let lost = u64::from(is_broken(Fault::GiveBack));
            self.0.fetch_sub(value - lost.min(value), order)
        }

        pub(crate) fn fetch_max(&self, value: u64, order: Ordering) -> u64 {
            self.0.fetch_max(value, order)
        }

        pub(crate) fn fetch_update(
            &self,
            set: Ordering,
            fetch: Ordering,
            update: impl FnMut(u64) -> Option<u64>,
        ) -> Result<u64, u64> {
            self.0.fetch_update(set, fetch, update)
        }
    }
}

/// A channel that does what crossbeam's does, by a lock.
pub(crate) mod channel {
    use std::collections::VecDeque;
    use std::fmt;
    use std::time::Duration;

    pub(crate) use crossbeam_channel::{
        RecvError, RecvTimeoutError, SendError, TryRecvError, TrySendError,
    };
    use shuttle::rand::Rng;
    use shuttle::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

    use super::{CAPACITY, Fault, is_broken, pass};

    struct Channel<T> {
        capacity: usize,
        state: Mutex<State<T>>,
        /// There is a message, or nobody left who could send one.
        has_message: Condvar,
        /// There is room, or nobody left who receives.
        has_room: Condvar,
    }

    struct State<T> {
        messages: VecDeque<T>,
        num_senders: usize,
        num_receivers: usize,
    }

    impl<T> Channel<T> {
        fn lock(&self) -> MutexGuard<'_, State<T>> {
            self.state.lock().unwrap_or_else(PoisonError::into_inner)
        }

        fn push(&self, mut state: MutexGuard<'_, State<T>>, message: T) {
            if is_broken(Fault::Loss) && shuttle::rand::thread_rng().gen_bool(0.2) {
                return;
            }
            state.messages.push_back(message);
            drop(state);
            if !is_broken(Fault::Send) {
                self.has_message.notify_all();
            }
        }

        fn pop(&self, mut state: MutexGuard<'_, State<T>>) -> Option<T> {
            let message = state.messages.pop_front()?;
            drop(state);
            if !is_broken(Fault::Receive) {
                self.has_room.notify_all();
            }
            Some(message)
        }
    }

    pub(crate) struct Sender<T>(Arc<Channel<T>>);

    pub(crate) struct Receiver<T>(Arc<Channel<T>>);

    pub(crate) fn bounded<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
        assert!(capacity > 0, "the model has no channels without room");
        let channel = Arc::new(Channel {
            capacity: capacity.min(CAPACITY.get()),
            state: Mutex::new(State {
                messages: VecDeque::new(),
                num_senders: 1,
                num_receivers: 1,
            }),
            has_message: Condvar::new(),
            has_room: Condvar::new(),
        });
        (Sender(Arc::clone(&channel)), Receiver(channel))
    }

    impl<T> Sender<T> {
        pub(crate) fn send(&self, message: T) -> Result<(), SendError<T>> {
            let mut state = self.0.lock();
            loop {
                if state.num_receivers == 0 {
                    return Err(SendError(message));
                }
                if state.messages.len() < self.0.capacity {
                    self.0.push(state, message);
                    return Ok(());
                }
                let waited = self.0.has_room.wait(state);
                state = waited.unwrap_or_else(PoisonError::into_inner);
            }
        }

        pub(crate) fn try_send(&self, message: T) -> Result<(), TrySendError<T>> {
            let state = self.0.lock();
            if state.num_receivers == 0 {
                return Err(TrySendError::Disconnected(message));
            }
            if state.messages.len() >= self.0.capacity {
                return Err(TrySendError::Full(message));
            }
            self.0.push(state, message);
            Ok(())
        }
    }

    impl<T> Receiver<T> {
        pub(crate) fn recv(&self) -> Result<T, RecvError> {
            let mut state = self.0.lock();
            loop {
                if !state.messages.is_empty() {
                    return self.0.pop(state).ok_or(RecvError);
                }
                if state.num_senders == 0 {
                    return Err(RecvError);
                }
                let waited = self.0.has_message.wait(state);
                state = waited.unwrap_or_else(PoisonError::into_inner);
            }
        }

        pub(crate) fn try_recv(&self) -> Result<T, TryRecvError> {
            let state = self.0.lock();
            match (state.messages.is_empty(), state.num_senders) {
                (true, 0) => Err(TryRecvError::Disconnected),
                (true, _) => Err(TryRecvError::Empty),
                (false, _) => self.0.pop(state).ok_or(TryRecvError::Empty),
            }
        }

        /// The time may be up at any moment.
        pub(crate) fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvTimeoutError> {
            loop {
                match self.try_recv() {
                    Ok(message) => return Ok(message),
                    Err(TryRecvError::Disconnected) => return Err(RecvTimeoutError::Disconnected),
                    Err(TryRecvError::Empty) => {}
                }
                if shuttle::rand::thread_rng().gen_bool(0.5) {
                    pass(timeout);
                    return Err(RecvTimeoutError::Timeout);
                }
                shuttle::thread::yield_now();
            }
        }
    }

    impl<T> Iterator for &Receiver<T> {
        type Item = T;

        fn next(&mut self) -> Option<T> {
            self.recv().ok()
        }
    }

    impl<T> Clone for Sender<T> {
        fn clone(&self) -> Self {
            self.0.lock().num_senders += 1;
            Self(Arc::clone(&self.0))
        }
    }

    impl<T> Clone for Receiver<T> {
        fn clone(&self) -> Self {
            self.0.lock().num_receivers += 1;
            Self(Arc::clone(&self.0))
        }
    }

    impl<T> Drop for Sender<T> {
        fn drop(&mut self) {
            let mut state = self.0.lock();
            state.num_senders -= 1;
            let is_last = state.num_senders == 0;
            drop(state);
            if is_last && !is_broken(Fault::Disconnect) {
                self.0.has_message.notify_all();
            }
        }
    }

    impl<T> Drop for Receiver<T> {
        /// With the last one go the messages, as in crossbeam's.
        fn drop(&mut self) {
            let mut state = self.0.lock();
            state.num_receivers -= 1;
            let rest = match state.num_receivers {
                0 => std::mem::take(&mut state.messages),
                _ => return,
            };
            drop(state);
            self.0.has_room.notify_all();
            drop(rest);
        }
    }

    impl<T> fmt::Debug for Sender<T> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Sender")
        }
    }

    impl<T> fmt::Debug for Receiver<T> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Receiver")
        }
    }
}
