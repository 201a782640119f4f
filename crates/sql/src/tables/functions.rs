//! The table functions by name.

use super::call::RunFunction;
use super::connections::CONNECTIONS;
use super::successive::SUCCESSIVE_WEIGHTS;
use super::{
    coactivation, connections, linear_probe, meta_model, strongest_paths, structure_scores,
    successive,
};

/// The functions that SQL can call by their names.
pub(crate) const SQL_FUNCTIONS: [&str; 2] = [CONNECTIONS, SUCCESSIVE_WEIGHTS];

/// What the text of a named query puts before the name of a function that is called through the query
/// alone: what users call by that name is the query.
const RAW: &str = "raw_";

/// Whether `name` is that of a function which reads captures, as a plan has it.
pub(crate) fn is_run_function(name: &str) -> bool {
    SQL_FUNCTIONS.contains(&name) || name.starts_with(RAW)
}

/// The function that the text of a named query, or SQL, knows under a name.
pub(crate) fn run_function(name: &str) -> Option<&'static RunFunction> {
    Some(match name {
        CONNECTIONS => &connections::FUNCTION,
        SUCCESSIVE_WEIGHTS => &successive::FUNCTION,
        "raw_coactivation" => &coactivation::FUNCTION,
        "raw_strongest_paths" => &strongest_paths::FUNCTION,
        "raw_structure_scores" => &structure_scores::FUNCTION,
        "raw_linear_probe" => &linear_probe::FUNCTION,
        "raw_meta_model" => &meta_model::FUNCTION,
        _ => return None,
    })
}
