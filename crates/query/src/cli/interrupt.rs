//! Ctrl-C and SIGTERM. A query that computes does not look up, so nothing here waits for one to
//! end.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::{fs, io, thread};

use anyhow::Context;
use tokio::sync::Notify;

use super::memory::remove_spilled;

/// What a shell makes of a process that Ctrl-C ended.
pub(super) const INTERRUPTED: i32 = 130;
/// The same of SIGTERM.
const TERMINATED: i32 = 143;

/// From now on Ctrl-C and SIGTERM end the process at once, and remove the file that is set in the
/// result and what was spilled.
pub(super) fn exit_on_ctrl_c() -> anyhow::Result<Arc<OnceLock<PathBuf>>> {
    let staged: Arc<OnceLock<PathBuf>> = Arc::default();
    let end = |status| {
        let unfinished = Arc::clone(&staged);
        move || {
            if let Some(path) = unfinished.get() {
                // It is gone if it was finished a moment ago.
                let _ = fs::remove_file(path);
            }
            exit(status)
        }
    };
    ctrlc::set_handler(end(INTERRUPTED)).context("cannot listen to Ctrl-C")?;
    on_termination(end(TERMINATED)).context("cannot listen to SIGTERM")?;
    Ok(staged)
}

fn exit(status: i32) -> ! {
    remove_spilled();
    eprintln!("interrupted");
    std::process::exit(status)
}

/// Does `act` on a thread of its own once SIGTERM comes. The `termination` feature of `ctrlc` would
/// take SIGHUP as well, and from every program of the workspace: `nohup` would not work any more.
#[cfg(unix)]
fn on_termination(act: impl FnOnce() + Send + 'static) -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    let mut terminations = {
        let _entered = runtime.enter();
        signal(SignalKind::terminate())?
    };
    let wait = move || {
        if runtime.block_on(terminations.recv()).is_some() {
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
fn on_termination(_: impl FnOnce() + Send + 'static) -> io::Result<()> {
    Ok(())
}

/// Ctrl-C as somebody at a prompt means it: it stops what runs, and the process if that does not
/// stop.
#[derive(Debug, Clone, Default)]
pub(super) struct Stop(Arc<Asked>);

#[derive(Debug, Default)]
struct Asked {
    already: AtomicBool,
    notify: Notify,
}

impl Stop {
    /// Listens from now on.
    pub(super) fn on_ctrl_c() -> anyhow::Result<Self> {
        let stop = Self::default();
        let asked = Arc::clone(&stop.0);
        ctrlc::set_handler(move || {
            if asked.already.swap(true, Ordering::Relaxed) {
                exit(INTERRUPTED);
            }
            asked.notify.notify_waiters();
        })
        .context("cannot listen to Ctrl-C")?;
        on_termination(|| exit(TERMINATED)).context("cannot listen to SIGTERM")?;
        Ok(stop)
    }

    /// Returns once somebody wants what begins now to stop.
    pub(super) async fn asked(&self) {
        let notified = self.0.notify.notified();
        self.0.already.store(false, Ordering::Relaxed);
        notified.await;
    }
}
