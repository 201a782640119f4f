//! Results, on standard output.

use std::error::Error;
use std::io::{self, Write as _};
use std::iter::successors;

use words::printable;

/// Prints a text, as [`printable`] makes it; a reader that has seen enough, as `head`, is no error.
///
/// # Errors
/// If standard output cannot be written to.
pub fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let text = printable(text);
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if is_closed_pipe(&error) => Ok(()),
        done => done,
    }
}

/// Whether an error, or what caused it, is that the reader of standard output was gone, as `head` is once
/// it has its lines.
pub fn is_closed_pipe(error: &(dyn Error + 'static)) -> bool {
    successors(Some(error), |&error| error.source())
        .filter_map(|error| error.downcast_ref::<io::Error>())
        .any(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
