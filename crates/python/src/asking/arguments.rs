//! Words that Python says, as what they mean.

use std::str::FromStr;
use std::time::Duration;

use pyo3::prelude::*;

use crate::error::QueryError;

/// The value that a text stands for.
///
/// # Errors
/// If it stands for none: with the name of the argument and what is wrong.
pub(super) fn parsed<T: FromStr<Err: ToString>>(name: &str, text: &str) -> PyResult<T> {
    let wrong = |error: T::Err| QueryError::new_err(format!("{name}: {}", error.to_string()));
    text.parse().map_err(wrong)
}

/// One of several values, by its name.
///
/// # Errors
/// If none has the name: with those that there are.
pub(super) fn chosen<T: Copy, const N: usize>(
    name: &str,
    text: &str,
    all: [T; N],
    name_of: impl Fn(T) -> &'static str,
) -> PyResult<T> {
    let found = all.into_iter().find(|&value| name_of(value) == text);
    found.ok_or_else(|| {
        let names = all.map(&name_of).join(", ");
        QueryError::new_err(format!("{name}: {text:?} is none of {names}"))
    })
}

/// The time that so many seconds are.
///
/// # Errors
/// If they are none that can be waited for.
pub(super) fn seconds(number: f64) -> PyResult<Duration> {
    let time = Duration::try_from_secs_f64(number).ok();
    time.filter(|time| !time.is_zero()).ok_or_else(|| {
        QueryError::new_err(format!("timeout: expected seconds, above 0, not {number}"))
    })
}
