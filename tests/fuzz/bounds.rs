//! What a parser may take: no input makes one panic, take longer than a second, or more memory than 256 MiB.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::time::{Duration, Instant};

use peak_alloc::PeakAlloc;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// What a parser may take of time. One that took longer is asked again, since others may have had the processor
/// meanwhile: what counts is how long it had it itself.
const MAX_TIME: Duration = Duration::from_secs(1);
const NUM_TRIES: usize = 3;

/// What a parser may take of memory.
const MAX_BYTES: usize = 256 << 20;

/// Gives a target an input. Memory is counted for the whole process: one at a time.
///
/// # Errors
/// Says what the target did that none may do.
pub fn tried(target: fn(&[u8]), input: &[u8]) -> Result<(), String> {
    let mut shortest = Duration::MAX;
    for _ in 0..NUM_TRIES {
        own_panic().take();
        HEAP.reset_peak_usage();
        let before = HEAP.current_usage();
        let (start, worked) = (Instant::now(), time_worked());
        let outcome = catch_unwind(AssertUnwindSafe(|| target(input)));
        let worked = time_worked().zip(worked).map(|(now, then)| now - then);
        let elapsed = start.elapsed();
        shortest = shortest.min(worked.unwrap_or(elapsed).min(elapsed));
        let taken = HEAP.peak_usage().saturating_sub(before);
        let panicked = own_panic().take();
        if outcome.is_err() || panicked.is_some() {
            return Err(format!("panicked {}", panicked.unwrap_or_default()));
        }
        if taken > MAX_BYTES {
            return Err(format!("took {taken} bytes of memory"));
        }
        if shortest <= MAX_TIME {
            return Ok(());
        }
    }
    Err(format!("took {shortest:?}"))
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
            if is_below("tests", file) {
                hook(panic);
            } else if is_below("crates", file) {
                let mut place = PLACE.lock().unwrap_or_else(PoisonError::into_inner);
                *place = Some(panic.to_string());
            }
        }));
    });
    PLACE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a file is below a directory, however the compiler was told of it.
fn is_below(directory: &str, file: &str) -> bool {
    let mut parts = Path::new(file).components();
    parts.any(|part| part.as_os_str() == directory)
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
