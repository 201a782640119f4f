//! Gives a target inputs under watch: one that breaks a bound is kept and named, and one that hangs ends the process.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use stratigraph::announce;

use crate::bounds;

/// After so long a parser is taken for one that hangs, on however busy a machine.
const HANGS: Duration = Duration::from_secs(300);

/// How often it is looked whether one does.
const LOOK: Duration = Duration::from_millis(200);

/// Memory is counted for the whole process, so that targets take turns.
static TURN: Mutex<()> = Mutex::new(());

/// What is tried, and since when.
type Tried = Arc<Mutex<Option<(Instant, Vec<u8>)>>>;

/// A target under watch.
pub struct Watched {
    name: &'static str,
    target: fn(&[u8]),
    tried: Tried,
    is_over: Arc<AtomicBool>,
    watcher: Option<JoinHandle<()>>,
    _turn: MutexGuard<'static, ()>,
}

impl Watched {
    pub fn new(name: &'static str, target: fn(&[u8])) -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let (tried, is_over) = (Tried::default(), Arc::new(AtomicBool::new(false)));
        let watcher = {
            let (tried, is_over) = (Arc::clone(&tried), Arc::clone(&is_over));
            std::thread::spawn(move || watch(name, &tried, &is_over))
        };
        Self {
            name,
            target,
            tried,
            is_over,
            watcher: Some(watcher),
            _turn: turn,
        }
    }

    /// Tries an input.
    pub fn try_input(&self, input: &[u8]) {
        *self.tried.lock().unwrap() = Some((Instant::now(), input.to_vec()));
        let outcome = bounds::tried(self.target, input);
        *self.tried.lock().unwrap() = None;
        if let Err(broken) = outcome {
            panic!("{} {broken}: {}", self.name, kept(self.name, input));
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(watcher) = self.watcher.take() {
            _ = watcher.join();
        }
    }
}

/// Ends the process once a target hangs, since nothing else ends it.
fn watch(name: &str, tried: &Tried, is_over: &AtomicBool) {
    while !is_over.load(Ordering::Relaxed) {
        std::thread::sleep(LOOK);
        let since = tried.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((start, input)) = &*since
            && start.elapsed() > HANGS
        {
            announce(&format!("{name} hangs: {}", kept(name, input)));
            std::process::exit(101);
        }
    }
}

/// Keeps an input, and says where.
fn kept(name: &str, input: &[u8]) -> String {
    let number = trace::Crc32c::of(input);
    let path: PathBuf = std::env::temp_dir().join(format!("stratigraph-fuzz-{name}-{number}"));
    match std::fs::write(&path, input) {
        Ok(()) => format!(
            "the input is {}; once this is mended, it belongs in tests/fuzz/corpus/{name}",
            path.display()
        ),
        Err(error) => format!("the input cannot be kept: {error}: {input:?}"),
    }
}
