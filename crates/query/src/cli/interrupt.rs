//! Ctrl-C, SIGTERM, and the end of the time that a question may take. A query that computes does not look
//! up, so nothing here waits for one to end.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use std::{fs, io, thread};

use anyhow::Context;
use console::{Console, on_ctrl_c};
use sql::QueryError;
use tokio::sync::Notify;

use super::limits::{LimitArgs, remove_spilled};

/// What a shell makes of a process that Ctrl-C ended.
pub(super) const INTERRUPTED: i32 = console::INTERRUPTED as i32;
/// The same of SIGTERM.
const TERMINATED: i32 = console::TERMINATED as i32;
/// Exit status where a question had no answer in time, as `timeout` has it.
const TIMED_OUT: i32 = 124;

/// What ends a process before its work is done. Dropped, the time that it may take is over no more.
pub(super) struct Ends {
    unfinished: Arc<OnceLock<PathBuf>>,
    /// Held for as long as the time counts.
    in_time: Option<Sender<()>>,
}

impl Ends {
    /// What ends the process removes this file, if it is there.
    pub(super) fn leave_no(&self, unfinished: &Path) {
        self.unfinished.get_or_init(|| unfinished.to_owned());
    }

    /// From now on the time counts that a question may take, and its end ends the process.
    pub(super) fn count(&mut self, limits: &LimitArgs) -> anyhow::Result<()> {
        if let Some(timeout) = limits.timeout() {
            let unfinished = Arc::clone(&self.unfinished);
            self.in_time = Some(after(timeout, move || {
                let said = format!("error: {}", QueryError::TimedOut(timeout));
                exit(unfinished.get().map(PathBuf::as_path), &said, TIMED_OUT);
            })?);
        }
        Ok(())
    }
}

/// From now on Ctrl-C and SIGTERM end the process at once. As the end of its time does, they remove what was
/// spilled.
pub(super) fn exit_early() -> anyhow::Result<Ends> {
    Ok(Ends {
        unfinished: exit_on_ctrl_c()?,
        in_time: None,
    })
}

/// From now on Ctrl-C and SIGTERM end the process at once, and remove the file that is set in the
/// result and what was spilled.
pub(super) fn exit_on_ctrl_c() -> anyhow::Result<Arc<OnceLock<PathBuf>>> {
    let staged: Arc<OnceLock<PathBuf>> = Arc::default();
    let end = |status| {
        let unfinished = Arc::clone(&staged);
        move || interrupt(unfinished.get().map(PathBuf::as_path), status)
    };
    on_ctrl_c(end(INTERRUPTED))?;
    on_termination(end(TERMINATED)).context("cannot listen to SIGTERM")?;
    Ok(staged)
}

/// Does `act` after a time, unless the result was dropped by then. It has a thread of its own: those that answer
/// may all be busy, and the timers of a runtime are theirs.
pub(super) fn after(
    time: Duration,
    act: impl FnOnce() + Send + 'static,
) -> anyhow::Result<Sender<()>> {
    let (in_time, end) = mpsc::channel::<()>();
    let watch = move || {
        if let Err(RecvTimeoutError::Timeout) = end.recv_timeout(time) {
            act();
        }
    };
    // It ends with the result, or with the process.
    let watching = thread::Builder::new().name("timeout".to_owned());
    watching.spawn(watch).context("cannot start a thread")?;
    Ok(in_time)
}

fn interrupt(unfinished: Option<&Path>, status: i32) -> ! {
    exit(unfinished, "interrupted", status)
}

fn exit(unfinished: Option<&Path>, said: &str, status: i32) -> ! {
    if let Some(path) = unfinished {
        // It is gone if it was finished a moment ago.
        let _ = fs::remove_file(path);
    }
    remove_spilled();
    Console::default().say(said);
    std::process::exit(status)
}

/// Does `act` on a thread of its own whenever SIGTERM comes. The `termination` feature of `ctrlc` would
/// take SIGHUP as well, and from every program of the workspace: `nohup` would not work any more.
#[cfg(unix)]
fn on_termination(mut act: impl FnMut() + Send + 'static) -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    let mut terminations = {
        let _entered = runtime.enter();
        signal(SignalKind::terminate())?
    };
    let wait = move || {
        while runtime.block_on(terminations.recv()).is_some() {
            act();
        }
    };
    // It ends with the process.
    thread::Builder::new()
        .name("sigterm".to_owned())
        .spawn(wait)?;
    Ok(())
}

#[cfg(not(unix))]
fn on_termination(_: impl FnMut() + Send + 'static) -> io::Result<()> {
    Ok(())
}

/// A signal that stops what runs, and ends the process if that does not stop.
#[derive(Debug, Clone, Default)]
pub(super) struct Stop(Arc<Asked>);

#[derive(Debug, Default)]
struct Asked {
    /// What the process that was asked to stop ends with; 0 where nobody asked yet.
    status: AtomicI32,
    notify: Notify,
    /// What is being written just now, and is not to stay as it is.
    unfinished: Mutex<Option<PathBuf>>,
}

impl Asked {
    fn ask(&self, status: i32) {
        if self.status.swap(status, Ordering::Relaxed) != 0 {
            self.exit(status);
        }
        self.notify.notify_waiters();
    }

    fn exit(&self, status: i32) -> ! {
        let unfinished = self.unfinished.lock();
        let unfinished = unfinished.unwrap_or_else(PoisonError::into_inner);
        interrupt(unfinished.as_deref(), status)
    }
}

impl Stop {
    /// Listens from now on to Ctrl-C, as somebody at a prompt means it. SIGTERM ends the process at once.
    pub(super) fn on_ctrl_c() -> anyhow::Result<Self> {
        Self::listen(|asked| asked.exit(TERMINATED))
    }

    /// Listens from now on to Ctrl-C and to SIGTERM.
    pub(super) fn on_any_signal() -> anyhow::Result<Self> {
        Self::listen(|asked| asked.ask(TERMINATED))
    }

    fn listen(terminated: impl Fn(&Asked) + Send + 'static) -> anyhow::Result<Self> {
        let stop = Self::default();
        let asked = Arc::clone(&stop.0);
        on_ctrl_c(move || asked.ask(INTERRUPTED))?;
        let asked = Arc::clone(&stop.0);
        on_termination(move || terminated(&asked)).context("cannot listen to SIGTERM")?;
        Ok(stop)
    }

    /// What begins now was not asked to stop yet.
    pub(super) fn begin(&self) {
        self.0.status.store(0, Ordering::Relaxed);
    }

    /// Returns once somebody wants to stop what began last: with what the process ends with, if it does.
    pub(super) async fn asked(&self) -> i32 {
        let notified = self.0.notify.notified();
        if self.0.status.load(Ordering::Relaxed) == 0 {
            notified.await;
        }
        self.0.status.load(Ordering::Relaxed)
    }

    /// A second signal removes this file, if it is there.
    pub(super) fn leaves_no(&self, unfinished: &Path) {
        let held = self.0.unfinished.lock();
        *held.unwrap_or_else(PoisonError::into_inner) = Some(unfinished.to_owned());
    }
}
