//! Failures on demand: every operation on the disk asks here first, so that tests can let each
//! one fail in turn. Outside this crate's tests it is nothing.

#[cfg(not(test))]
#[inline(always)]
pub(crate) fn check(_operation: &'static str) -> std::io::Result<()> {
    Ok(())
}

#[cfg(test)]
pub(crate) use injected::{check, fail_at};

#[cfg(test)]
mod injected {
    use std::cell::Cell;
    use std::io;

    thread_local! {
        static COUNTDOWN: Cell<Option<u32>> = const { Cell::new(None) };
    }

    /// Lets this thread's operation number `n` (from 0) from now on fail, and those after it:
    /// to the disk, a failed operation that is never followed by another looks like a crash.
    /// `None` lets all succeed. Returns whether the failure asked for before had happened.
    pub(crate) fn fail_at(n: Option<u32>) -> bool {
        COUNTDOWN.replace(n) == Some(0)
    }

    pub(crate) fn check(operation: &'static str) -> io::Result<()> {
        match COUNTDOWN.get() {
            None => Ok(()),
            Some(0) => Err(io::Error::other(format!("injected failure: {operation}"))),
            Some(n) => {
                COUNTDOWN.set(Some(n - 1));
                Ok(())
            }
        }
    }
}
