//! What the threads of a sink agree by, and what tells them the time. `tests/model/` has the same names from a
//! library that runs the threads in many orders.

pub(crate) use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, atomic};
pub(crate) use std::thread;
pub(crate) use std::time::Instant;

pub(crate) use crossbeam_channel as channel;
