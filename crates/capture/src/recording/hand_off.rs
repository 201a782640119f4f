//! The hand-off between two threads, of one task at a time.
//!
//! A token and a task travel in a circle: who hands over takes the token, and the thread gives it back once the
//! values of the task are on the host. So neither channel is ever full. Invariants, checked in many interleavings
//! in `tests/model/`:
//! 1. From the moment that a task was handed over until its token is given back there is no other
//!    (ARCHITECTURE.md, invariant 9).
//! 2. Tasks are taken in the order in which they were handed over, none twice, and each unless the thread ends before.
//! 3. Nobody waits for ever: whoever waits for room gets it, or learns that the thread has ended, however it did.

use std::{fmt, io};

use crate::sync::channel::{Receiver, SendError, Sender, TryRecvError, bounded};
use crate::sync::thread::{Builder, JoinHandle};

/// The end at which tasks `T` are handed over, to a thread that ends with an `E`.
pub(crate) struct HandOff<T, E> {
    /// None once nothing more comes.
    tasks: Option<Sender<T>>,
    /// A token for every task that may be held.
    room: Receiver<()>,
    /// None once it was joined.
    thread: Option<JoinHandle<E>>,
}

/// The end of the thread.
pub(crate) struct Tasks<T> {
    tasks: Receiver<T>,
    give_back: Sender<()>,
}

/// Whether a task may be handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    /// One may, and has to be.
    Free,
    /// The one before was not let go yet.
    Taken,
    /// None any more: the thread has ended.
    Ended,
}

/// Nobody takes it any more: the thread has ended.
pub(crate) struct NotTaken<T>(pub(crate) T);

impl<T, E> fmt::Debug for HandOff<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandOff")
            .field("is_joined", &self.thread.is_none())
            .finish_non_exhaustive()
    }
}

impl<T: Send + 'static, E: Send + 'static> HandOff<T, E> {
    /// Starts the thread, which does `work`.
    ///
    /// # Errors
    /// If the operating system gives none.
    pub(crate) fn start(
        name: &str,
        work: impl FnOnce(Tasks<T>) -> E + Send + 'static,
    ) -> io::Result<Self> {
        let (tasks, queue) = bounded(1);
        let (give_back, room) = bounded(1);
        give_back.send(()).expect("both ends are here");
        let queue = Tasks {
            tasks: queue,
            give_back,
        };
        let thread = Builder::new()
            .name(name.to_owned())
            .spawn(move || work(queue))?;
        Ok(Self {
            tasks: Some(tasks),
            room,
            thread: Some(thread),
        })
    }

    /// Waits until the task before was let go.
    pub(crate) fn wait_for_room(&self) -> Room {
        match self.room.recv() {
            Ok(()) => Room::Free,
            Err(_) => Room::Ended,
        }
    }

    /// Takes the room that there is, without a wait.
    pub(crate) fn try_room(&self) -> Room {
        match self.room.try_recv() {
            Ok(()) => Room::Free,
            Err(TryRecvError::Empty) => Room::Taken,
            Err(TryRecvError::Disconnected) => Room::Ended,
        }
    }

    /// Hands over a task, once there is [`Room::Free`] for it.
    pub(crate) fn hand_over(&self, task: T) -> Result<(), NotTaken<T>> {
        match &self.tasks {
            Some(tasks) => tasks.send(task).map_err(|SendError(task)| NotTaken(task)),
            None => Err(NotTaken(task)),
        }
    }

    /// Says that nothing more comes, and waits until the thread has ended; none if it was waited for before.
    pub(crate) fn join(&mut self) -> Option<std::thread::Result<E>> {
        self.tasks = None;
        self.thread.take().map(JoinHandle::join)
    }

    /// Whether the end of the thread was waited for.
    pub(crate) fn is_joined(&self) -> bool {
        self.thread.is_none()
    }
}

impl<T> Tasks<T> {
    /// Waits for the next task; none if nothing more comes.
    pub(crate) fn next(&self) -> Option<T> {
        self.tasks.recv().ok()
    }

    /// Lets the next one in, once of the last nothing is held any more that there may be once.
    pub(crate) fn give_back(&self) {
        // Whoever hands over may have left already.
        let _ = self.give_back.send(());
    }
}
