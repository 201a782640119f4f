//! A budget of bytes that several threads take from and give back to.
//!
//! Taking and giving back are one compare-and-swap and one subtraction on an atomic while there is
//! enough for everybody; only a thread that has to wait, and those that wake it, take a mutex.
//!
//! Invariants, tested under load in `budget/tests.rs` and in many interleavings in `tests/model/`:
//! 1. What is taken never exceeds the capacity, save by one request that is larger than the whole
//!    capacity and then holds the budget alone.
//! 2. Waiters are served in the order in which they came, so a large request is not starved.
//! 3. A waiter sleeps only while what it asks for cannot be had.

use std::time::Duration;

use crate::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use crate::sync::{Arc, Condvar, Instant, Mutex, MutexGuard, PoisonError};

/// A budget of bytes that several threads take from and give back to: what bounds the channel from
/// the capture thread to the sink's workers.
///
/// One request that is larger than the whole capacity is let through alone.
#[derive(Debug)]
pub struct ByteBudget {
    capacity: u64,
    pub(crate) used: AtomicU64,
    high_water: AtomicU64,
    is_closed: AtomicBool,
    /// Threads that wait, or are about to: whoever gives back looks here first.
    pub(crate) num_waiting: AtomicUsize,
    queue: Mutex<Queue>,
    changed: Condvar,
}

/// Who waits: the tickets from `serving` to `next`, exclusive.
#[derive(Debug, Default)]
struct Queue {
    serving: u64,
    next: u64,
}

/// Bytes taken from a budget; they are given back when this is dropped.
#[derive(Debug)]
pub struct Permit {
    budget: Arc<ByteBudget>,
    pub(crate) bytes: u64,
}

/// The budget was closed: nothing can be taken any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the budget was closed")]
pub struct Closed;

impl ByteBudget {
    /// A budget of `capacity` bytes, all of which can be had.
    pub fn new(capacity: u64) -> Arc<Self> {
        Arc::new(Self {
            capacity,
            used: AtomicU64::new(0),
            high_water: AtomicU64::new(0),
            is_closed: AtomicBool::new(false),
            num_waiting: AtomicUsize::new(0),
            queue: Mutex::default(),
            changed: Condvar::new(),
        })
    }

    /// Takes `bytes`, waiting until they can be had; also says for how long it waited.
    ///
    /// # Errors
    /// If the budget is closed, or becomes so meanwhile.
    pub fn take(self: &Arc<Self>, bytes: u64) -> Result<(Permit, Duration), Closed> {
        if self.is_closed.load(Ordering::SeqCst) {
            return Err(Closed);
        }
        let permit = || Permit {
            budget: Arc::clone(self),
            bytes,
        };
        // Nobody overtakes those that wait already.
        if self.num_waiting.load(Ordering::SeqCst) == 0 && self.try_take(bytes) {
            return Ok((permit(), Duration::ZERO));
        }
        let start = Instant::now();
        self.wait(bytes)?;
        Ok((permit(), start.elapsed()))
    }

    /// Makes everybody who waits or comes later go away.
    pub fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
        drop(self.lock());
        self.changed.notify_all();
    }

    /// Bytes that can be had at once now; none while somebody waits for some. They may be gone by the time
    /// that they are asked for.
    pub fn free_bytes(&self) -> u64 {
        if self.num_waiting.load(Ordering::SeqCst) > 0 {
            return 0;
        }
        self.capacity
            .saturating_sub(self.used.load(Ordering::SeqCst))
    }

    /// The most that was ever taken at once.
    pub fn high_water(&self) -> u64 {
        self.high_water.load(Ordering::Relaxed)
    }

    fn try_take(&self, bytes: u64) -> bool {
        let fits = |used: u64| used == 0 || used.saturating_add(bytes) <= self.capacity;
        let before = self
            .used
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |used| {
                fits(used).then(|| used + bytes)
            });
        if let Ok(used) = before {
            self.high_water.fetch_max(used + bytes, Ordering::Relaxed);
        }
        before.is_ok()
    }

    fn wait(&self, bytes: u64) -> Result<(), Closed> {
        let mut queue = self.lock();
        let ticket = queue.next;
        queue.next += 1;
        // Before the budget is looked at again: whoever gives back in between sees that somebody
        // waits, and wakes it once it sleeps, because waking takes the mutex that is held here.
        self.num_waiting.fetch_add(1, Ordering::SeqCst);
        let result = loop {
            if self.is_closed.load(Ordering::SeqCst) {
                break Err(Closed);
            }
            if queue.serving == ticket && self.try_take(bytes) {
                queue.serving += 1;
                break Ok(());
            }
            queue = self
                .changed
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
        };
        self.num_waiting.fetch_sub(1, Ordering::SeqCst);
        // There may be enough for the next in the queue as well.
        self.changed.notify_all();
        result
    }

    fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::SeqCst);
        if self.num_waiting.load(Ordering::SeqCst) > 0 {
            drop(self.lock());
            self.changed.notify_all();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit {
    /// Gives back what is more than `bytes`.
    pub fn shrink_to(&mut self, bytes: u64) {
        if bytes < self.bytes {
            let more = self.bytes - bytes;
            self.bytes = bytes;
            self.budget.give_back(more);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.budget.give_back(self.bytes);
    }
}
