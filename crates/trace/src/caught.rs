//! Panics of readers: a file may be what was committed, and still be one that makes a decoder panic,
//! since who made it may have meant to, or the decoder has a bug. That is this file's problem alone.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// A decoder panicked, and said this.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("its decoder panicked: {0}")]
pub struct PanickedError(pub String);

/// Runs a decoder, and catches its panic. What it worked on must not be used after one.
///
/// # Errors
/// If it panicked.
pub fn caught<T>(decode: impl FnOnce() -> T) -> Result<T, PanickedError> {
    catch_unwind(AssertUnwindSafe(decode)).map_err(|payload| {
        let text = match (
            payload.downcast_ref::<&str>(),
            payload.downcast_ref::<String>(),
        ) {
            (Some(text), _) => (*text).to_owned(),
            (None, Some(text)) => text.clone(),
            (None, None) => "it gave no reason".to_owned(),
        };
        PanickedError(text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_that_says_what_it_said() {
        let index = std::hint::black_box(3);
        let error = caught(|| [1, 2][index]).unwrap_err().to_string();
        assert!(error.contains("index out of bounds"), "{error}");
        let error = caught(|| panic!("at once")).unwrap_err().to_string();
        assert_eq!(error, "its decoder panicked: at once");
        assert_eq!(caught(|| 7), Ok(7));
    }
}
