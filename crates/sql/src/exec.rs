//! Physical operators of ours, and the rules that put them into plans.

pub(crate) mod build_side;
pub(crate) mod lookup;
pub(crate) mod merge;
pub(crate) mod room;
pub(crate) mod rules;
pub(crate) mod step;
pub(crate) mod top_rows;
