//! What is worked out of a capture's values: plain functions of numbers, in `f64`.

pub(crate) mod correlation;
pub(crate) mod paths;
pub(crate) mod rows;
pub(crate) mod similarity;
