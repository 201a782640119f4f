//! Physical operators of ours, and the rules that put them into plans.

pub(crate) mod budget;
pub(crate) mod build_side;
pub(crate) mod lookup;
pub(crate) mod merge;
pub(crate) mod operator;
mod replace;
pub(crate) mod rules;
mod stand_in;
pub(crate) mod top_rows;
mod yielding;
