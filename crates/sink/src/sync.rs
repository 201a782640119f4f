//! What threads of the budget agree by. `tests/model/` has the same names from a library that runs the threads in
//! many orders.

pub(crate) use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, atomic};
