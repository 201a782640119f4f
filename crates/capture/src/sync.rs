//! What the hand-off has its threads agree by. `tests/model/` has the same names from a library that runs the
//! threads in many orders.

pub(crate) use std::thread;

pub(crate) use crossbeam_channel as channel;
