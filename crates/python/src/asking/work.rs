//! What computes: threads of the process's own, on which Python waits without its lock.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::{JoinError, JoinHandle};

use crate::error::{QueryError, timed_out};

/// How often whoever waits looks whether Ctrl-C was pressed.
const LOOK: Duration = Duration::from_millis(50);

/// The threads that queries run on, of the process that made them.
pub(super) struct Threads {
    process: u32,
    handle: Handle,
    /// None while it ends.
    runtime: Option<Runtime>,
}

static THREADS: Mutex<Option<Arc<Threads>>> = Mutex::new(None);

/// Those of other libraries that ask on, which nobody retires: as long as they hold a table, it works.
static LASTING: Mutex<Option<Arc<Threads>>> = Mutex::new(None);

impl Threads {
    /// The threads of this process, made when they are first needed. Those of the process that it was forked
    /// off are not in it: they are left as they are.
    pub(super) fn current() -> PyResult<Arc<Self>> {
        Self::of(&THREADS)
    }

    /// Where the work is done that another library of this process asks for.
    pub(super) fn lasting() -> PyResult<Handle> {
        Ok(Self::of(&LASTING)?.handle.clone())
    }

    fn of(threads: &Mutex<Option<Arc<Self>>>) -> PyResult<Arc<Self>> {
        let process = std::process::id();
        let mut threads = threads.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(there) = &*threads
            && there.process == process
        {
            return Ok(Arc::clone(there));
        }
        let runtime = Builder::new_multi_thread()
            .thread_name("stratigraph")
            .enable_all()
            .build()
            .map_err(|error| QueryError::new_err(format!("cannot start threads: {error}")))?;
        let made = Arc::new(Self {
            process,
            handle: runtime.handle().clone(),
            runtime: Some(runtime),
        });
        *threads = Some(Arc::clone(&made));
        Ok(made)
    }

    /// Begins work.
    pub(super) fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.handle.spawn(work)
    }

    /// Has what comes next done by other threads: work that was given up keeps these until it lets go of them,
    /// as a join does that is in the midst of a batch. They end when nothing else waits for them.
    pub(super) fn retire(self: &Arc<Self>) {
        let mut threads = THREADS.lock().unwrap_or_else(PoisonError::into_inner);
        threads.take_if(|there| Arc::ptr_eq(there, self));
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        let Some(runtime) = self.runtime.take() else {
            return;
        };
        match self.process == std::process::id() {
            true => runtime.shutdown_background(),
            // Ending the threads of another process would wait for them.
            false => std::mem::forget(runtime),
        }
    }
}

/// Does `work` on other threads and waits for it, without Python's lock. Ctrl-C, and whatever else Python's
/// handlers of signals raise, ends the waiting and gives the work up, as does the end of the time that it may
/// take.
pub(super) fn finish<T, E>(
    py: Python<'_>,
    timeout: Option<Duration>,
    work: impl Future<Output = Result<T, E>> + Send + 'static,
) -> PyResult<T>
where
    T: Send + 'static,
    E: Into<PyErr> + Send + 'static,
{
    finish_on(&Threads::current()?, py, timeout, work)
}

/// As [`finish`], on threads that do more than this.
pub(super) fn finish_on<T, E>(
    threads: &Arc<Threads>,
    py: Python<'_>,
    timeout: Option<Duration>,
    work: impl Future<Output = Result<T, E>> + Send + 'static,
) -> PyResult<T>
where
    T: Send + 'static,
    E: Into<PyErr> + Send + 'static,
{
    let mut working = threads.spawn(work);
    let began = Instant::now();
    let look = || {
        signalled()?;
        is_in_time(began.elapsed(), timeout)
    };
    let done = py.detach(|| wait(Pin::new(&mut working), look));
    match done {
        Ok(Ok(done)) => done.map_err(Into::into),
        Ok(Err(error)) => Err(panicked(error)),
        Err(signal) => {
            working.abort();
            threads.retire();
            Err(signal)
        }
    }
}

/// As [`finish`], of work that does not wait for anything itself. On Ctrl-C it is left to come to its end.
pub(super) fn finish_blocking<T, E>(
    py: Python<'_>,
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> PyResult<T>
where
    T: Send + 'static,
    E: Into<PyErr> + Send + 'static,
{
    let threads = Threads::current()?;
    let mut working = threads.handle.spawn_blocking(work);
    match py.detach(|| wait(Pin::new(&mut working), signalled))? {
        Ok(done) => done.map_err(Into::into),
        Err(error) => Err(panicked(error)),
    }
}

/// What Python's handlers of signals have to say.
pub(super) fn signalled() -> PyResult<()> {
    Python::attach(|py| py.check_signals())
}

/// That so much time is no more than a question may take.
pub(super) fn is_in_time(taken: Duration, timeout: Option<Duration>) -> PyResult<()> {
    match timeout.filter(|timeout| taken >= *timeout) {
        Some(timeout) => Err(timed_out(timeout)),
        None => Ok(()),
    }
}

fn panicked(error: JoinError) -> PyErr {
    QueryError::new_err(format!("this is a mistake of Stratigraph's: {error}"))
}

/// Waits for a future on this thread, which may belong to anybody, and looks around meanwhile.
pub(super) fn wait<F: Future + ?Sized, E>(
    mut future: Pin<&mut F>,
    mut look: impl FnMut() -> Result<(), E>,
) -> Result<F::Output, E> {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(done) = future.as_mut().poll(&mut context) {
            return Ok(done);
        }
        thread::park_timeout(LOOK);
        look()?;
    }
}

/// Wakes a thread that waits.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
