//! What a parser may take: no input makes one panic, take longer than a second, or more memory than 256 MiB.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use peak_alloc::PeakAlloc;
use stratigraph::announce;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// What a parser may take of time. One that took longer is asked again, since others may have had the processor
/// meanwhile: what counts is how long it had it itself.
const MAX_TIME: Duration = Duration::from_secs(1);
const NUM_TRIES: usize = 3;

/// What a parser may take of memory.
const MAX_BYTES: usize = 256 << 20;

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
        let mut shortest = Duration::MAX;
        for _ in 0..NUM_TRIES {
            *self.tried.lock().unwrap() = Some((Instant::now(), input.to_vec()));
            own_panic().take();
            HEAP.reset_peak_usage();
            let before = HEAP.current_usage();
            let (start, worked) = (Instant::now(), time_worked());
            let outcome = catch_unwind(AssertUnwindSafe(|| (self.target)(input)));
            let worked = time_worked().zip(worked).map(|(now, then)| now - then);
            let elapsed = start.elapsed();
            shortest = shortest.min(worked.unwrap_or(elapsed).min(elapsed));
            let taken = HEAP.peak_usage().saturating_sub(before);
            *self.tried.lock().unwrap() = None;
            let panicked = own_panic().take();
            if outcome.is_err() || panicked.is_some() {
                let place = panicked.unwrap_or_default();
                panic!("{} panicked {place}: {}", self.name, kept(self.name, input));
            }
            assert!(
                taken <= MAX_BYTES,
                "{} took {taken} bytes of memory: {}",
                self.name,
                kept(self.name, input)
            );
            if shortest <= MAX_TIME {
                return;
            }
        }
        panic!(
            "{} took {shortest:?}: {}",
            self.name,
            kept(self.name, input)
        );
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

/// Where code of the workspace panicked last, whether that was caught or not: decoders from elsewhere may panic,
/// which makes an error of their file, and nothing else may.
fn own_panic() -> MutexGuard<'static, Option<String>> {
    static PLACE: Mutex<Option<String>> = Mutex::new(None);
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let file = panic.location().map_or("", |place| place.file());
            if file.starts_with("tests/") {
                hook(panic);
            } else if file.starts_with("crates/") {
                let mut place = PLACE.lock().unwrap_or_else(PoisonError::into_inner);
                *place = Some(panic.to_string());
            }
        }));
    });
    PLACE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long the process had a processor, in steps of 10 ms; none where nobody tells.
fn time_worked() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // Behind the program's name, which may have blanks: the 12th and 13th.
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: Option<u64> = ticks.map(|ticks| ticks.parse::<u64>().ok()).sum();
    Some(Duration::from_millis(10 * ticks?))
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
