//! A run at one moment, and what every part of a query speaks of: its captures, and what can go wrong.

pub(crate) mod batch;
pub(crate) mod captured;
pub(crate) mod error;
pub(crate) mod scope;
pub(crate) mod snapshot;
