//! Ctrl-C and SIGTERM. A query that computes does not look up, so nothing here waits for one to
//! end.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::{fs, io, thread};

use anyhow::Context;
use console::on_ctrl_c;
use tokio::sync::Notify;

use super::memory::remove_spilled;

/// What a shell makes of a process that Ctrl-C ended.
pub(super) const INTERRUPTED: i32 = console::INTERRUPTED as i32;
/// The same of SIGTERM.
const TERMINATED: i32 = console::TERMINATED as i32;

/// From now on Ctrl-C and SIGTERM end the process at once, and remove the file that is set in the
/// result and what was spilled.
pub(super) fn exit_on_ctrl_c() -> anyhow::Result<Arc<OnceLock<PathBuf>>> {
    let staged: Arc<OnceLock<PathBuf>> = Arc::default();
    let end = |status| {
        let unfinished = Arc::clone(&staged);
        move || exit(unfinished.get().map(PathBuf::as_path), status)
    };
    on_ctrl_c(end(INTERRUPTED))?;
    on_termination(end(TERMINATED)).context("cannot listen to SIGTERM")?;
    Ok(staged)
}

fn exit(unfinished: Option<&Path>, status: i32) -> ! {
    if let Some(path) = unfinished {
        // It is gone if it was finished a moment ago.
        let _ = fs::remove_file(path);
    }
    remove_spilled();
    eprintln!("interrupted");
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
        exit(unfinished.as_deref(), status)
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

    /// Returns once somebody wants what begins now to stop: with what the process ends with, if it does.
    pub(super) async fn asked(&self) -> i32 {
        let notified = self.0.notify.notified();
        self.0.status.store(0, Ordering::Relaxed);
        notified.await;
        self.0.status.load(Ordering::Relaxed)
    }

    /// A second signal removes this file, if it is there.
    pub(super) fn leaves_no(&self, unfinished: &Path) {
        let held = self.0.unfinished.lock();
        *held.unwrap_or_else(PoisonError::into_inner) = Some(unfinished.to_owned());
    }
}
