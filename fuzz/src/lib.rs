//! The targets of `tests/fuzz` for libFuzzer, with the changes to inputs that are made there.

#[path = "../../tests/fuzz/bounds.rs"]
mod bounds;
#[path = "../../tests/fuzz/checkpoints.rs"]
pub mod checkpoints;
#[cfg(feature = "datasets")]
#[path = "../../tests/fuzz/data.rs"]
pub mod data;
#[path = "../../tests/fuzz/mutate.rs"]
mod mutate;
#[cfg(feature = "queries")]
#[path = "../../tests/fuzz/queries.rs"]
pub mod queries;
#[path = "../../tests/fuzz/runs.rs"]
pub mod runs;

pub use libfuzzer_sys;
pub use mutate::Format;

use mutate::Rng;

/// Gives a target an input, and ends the process if it breaks a bound.
pub fn tried(target: fn(&[u8]), input: &[u8]) {
    if let Err(broken) = bounds::tried(target, input) {
        eprintln!("the target {broken}");
        std::process::abort();
    }
}

/// Changes the first `size` bytes of `data`, at random as libFuzzer does or as their format suggests, into at most
/// `max_size`; says how many they are then.
pub fn changed(format: Format, data: &mut [u8], size: usize, max_size: usize, seed: u32) -> usize {
    let mut rng = Rng(seed.into());
    if rng.below(2) == 0 {
        return libfuzzer_sys::fuzzer_mutate(data, size, max_size);
    }
    let bytes = mutate::changed(format, &[data[..size].to_vec()], &mut rng);
    let size = bytes.len().min(max_size);
    data[..size].copy_from_slice(&bytes[..size]);
    size
}

/// The program of a target.
#[macro_export]
macro_rules! fuzz {
    ($target:path, $format:expr) => {
        use $crate::libfuzzer_sys;

        libfuzzer_sys::fuzz_target!(|bytes: &[u8]| $crate::tried($target, bytes));

        libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
            $crate::changed($format, data, size, max_size, seed)
        });
    };
}
