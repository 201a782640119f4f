//! Ctrl-C. A query that computes does not look up, so nothing here waits for one to end.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use anyhow::Context;
use tokio::sync::Notify;

use super::memory::remove_spilled;

/// What a shell makes of a process that Ctrl-C ended.
const INTERRUPTED: i32 = 130;

/// From now on Ctrl-C ends the process at once, and removes the file that is set in the result and
/// what was spilled.
pub(super) fn exit_on_ctrl_c() -> anyhow::Result<Arc<OnceLock<PathBuf>>> {
    let staged: Arc<OnceLock<PathBuf>> = Arc::default();
    let unfinished = Arc::clone(&staged);
    ctrlc::set_handler(move || {
        if let Some(path) = unfinished.get() {
            // It is gone if it was finished a moment ago.
            let _ = fs::remove_file(path);
        }
        exit();
    })
    .context("cannot listen to Ctrl-C")?;
    Ok(staged)
}

fn exit() -> ! {
    remove_spilled();
    eprintln!("interrupted");
    std::process::exit(INTERRUPTED)
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
                exit();
            }
            asked.notify.notify_waiters();
        })
        .context("cannot listen to Ctrl-C")?;
        Ok(stop)
    }

    /// Returns once somebody wants what begins now to stop.
    pub(super) async fn asked(&self) {
        let notified = self.0.notify.notified();
        self.0.already.store(false, Ordering::Relaxed);
        notified.await;
    }
}
