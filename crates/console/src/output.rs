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

/// Whether the reader of standard output was gone, as `head` is once it has its lines.
pub fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let cause: Option<&io::Error> = cause.downcast_ref();
        cause.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    })
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn a_pipe_that_nobody_reads_is_told_from_what_fails() {
        let failed = |kind: io::ErrorKind| {
            let failed: io::Result<()> = Err(kind.into());
            failed.context("cannot write the rows").unwrap_err()
        };
        assert!(is_closed_pipe(&failed(io::ErrorKind::BrokenPipe)));
        assert!(!is_closed_pipe(&failed(io::ErrorKind::StorageFull)));
        assert!(!is_closed_pipe(&anyhow::anyhow!("no such run")));
    }
}
