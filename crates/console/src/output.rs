//! Results, on standard output.

use std::io::{self, Write as _};

use words::printable;

/// Prints a text, as [`printable`] makes it; a reader that has seen enough, as `head`, is no error.
///
/// # Errors
/// If standard output cannot be written to.
pub fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let text = printable(text);
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => done,
    }
}
