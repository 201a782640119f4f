//! Failures on demand: every operation on the disk asks here first, so that tests can let each
//! one fail in turn, see in which order they come, and do something just before one. Outside this
//! crate's tests it is nothing.

#[cfg(not(test))]
#[inline(always)]
pub(crate) fn check(_operation: &'static str, _path: &std::path::Path) -> std::io::Result<()> {
    Ok(())
}

/// Whether the process counts as dead: then what cleans up after a failure does nothing, either.
#[cfg(not(test))]
#[inline(always)]
pub(crate) fn has_crashed() -> bool {
    false
}

#[cfg(test)]
pub(crate) use injected::{Failure, before, check, fail, fail_at, has_crashed, operations, watch};

#[cfg(test)]
mod injected {
    use std::cell::{Cell, RefCell};
    use std::io;
    use std::path::{Path, PathBuf};

    /// Which of this thread's operations fail, counted from 0 from the call of [`fail`] on.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(crate) enum Failure {
        /// This one and all after it, and nothing cleans up: to the disk, that is a crash.
        From(u32),
        /// This one alone: what follows it happens.
        Once(u32),
    }

    type Hook = (&'static str, Box<dyn FnOnce()>);

    thread_local! {
        static FAILURE: Cell<Option<Failure>> = const { Cell::new(None) };
        static HAS_FAILED: Cell<bool> = const { Cell::new(false) };
        static OPERATIONS: RefCell<Option<Vec<(&'static str, PathBuf)>>> =
            const { RefCell::new(None) };
        static FAILING: Cell<Option<&'static str>> = const { Cell::new(None) };
        static HOOK: RefCell<Option<Hook>> = const { RefCell::new(None) };
    }

    /// Lets operations of this thread fail; `None` lets all succeed. Returns whether the failure
    /// asked for before had happened.
    pub(crate) fn fail(failure: Option<Failure>) -> bool {
        FAILURE.set(failure);
        HAS_FAILED.replace(false)
    }

    /// Lets this thread's next operation whose name begins so fail, once.
    pub(crate) fn fail_at(operation: &'static str) {
        FAILING.set(Some(operation));
    }

    /// Whether a [`Failure::From`] has begun, so that no destructor may touch the disk any more.
    pub(crate) fn has_crashed() -> bool {
        FAILURE.get() == Some(Failure::From(0)) && HAS_FAILED.get()
    }

    /// Notes this thread's operations from now on.
    pub(crate) fn watch() {
        OPERATIONS.set(Some(Vec::new()));
    }

    /// The operations since [`watch`], and the file or directory of each.
    pub(crate) fn operations() -> Vec<(&'static str, PathBuf)> {
        OPERATIONS.take().unwrap_or_default()
    }

    /// Runs `action` once, before this thread's next such operation.
    pub(crate) fn before(operation: &'static str, action: impl FnOnce() + 'static) {
        HOOK.set(Some((operation, Box::new(action))));
    }

    pub(crate) fn check(operation: &'static str, path: &Path) -> io::Result<()> {
        let action =
            HOOK.with_borrow_mut(|hook| hook.take_if(|(awaited, _)| *awaited == operation));
        if let Some((_, action)) = action {
            action();
        }
        OPERATIONS.with_borrow_mut(|operations| {
            if let Some(operations) = operations {
                operations.push((operation, path.to_owned()));
            }
        });
        if FAILING
            .get()
            .is_some_and(|failing| operation.starts_with(failing))
        {
            FAILING.set(None);
            return Err(io::Error::other(format!("injected failure: {operation}")));
        }
        let (fails, next) = match FAILURE.get() {
            None => (false, None),
            Some(Failure::From(0)) => (true, Some(Failure::From(0))),
            Some(Failure::From(n)) => (false, Some(Failure::From(n - 1))),
            Some(Failure::Once(0)) => (true, None),
            Some(Failure::Once(n)) => (false, Some(Failure::Once(n - 1))),
        };
        FAILURE.set(next);
        if fails {
            HAS_FAILED.set(true);
            return Err(io::Error::other(format!("injected failure: {operation}")));
        }
        Ok(())
    }
}
