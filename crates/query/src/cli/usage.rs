//! What is wrong with a command line that its grammar does not say.

use std::fmt::{self, Display, Formatter};

/// Arguments that make no sense together: the command line ends as it does where its grammar is not kept.
#[derive(Debug)]
pub struct UsageError(pub(super) String);

impl Display for UsageError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}

/// `KEY=VALUE`.
///
/// # Errors
/// If it is none.
pub(super) fn key_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected key=value".to_owned()),
    }
}
