//! What a recording takes of memory does not grow with its length.

use std::time::Duration;

use stratigraph::{Scratch, peak_memory_kib, spawn};

/// The most memory that a training of so many epochs held, in KiB.
fn peak_of_training_kib(epochs: &str) -> u64 {
    let scratch = Scratch::new();
    let mut recorder = spawn(&mut scratch.recorder(&[
        "train",
        "--device",
        "cpu",
        "--dataset",
        "notebook",
        "--hidden",
        "4",
        "--epochs",
        epochs,
        "--out",
        "run",
    ]));
    let mut peak = 0;
    while recorder.is_running() {
        peak = peak_memory_kib(recorder.id()).unwrap_or(0).max(peak);
        std::thread::sleep(Duration::from_millis(2));
    }
    recorder.wait().expect_success();
    peak
}

#[cfg(target_os = "linux")]
#[test]
fn a_run_ten_times_as_long_takes_no_more_memory() {
    let (short, long) = (peak_of_training_kib("150"), peak_of_training_kib("1500"));
    assert!(short > 0);
    // The measured promise, with more epochs and medians, is the benchmark's: this is its alarm.
    assert!(
        long * 100 <= short * 125,
        "150 epochs took {short} KiB, 1,500 epochs {long} KiB"
    );
}
