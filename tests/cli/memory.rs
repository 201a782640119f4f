//! What a recording takes of memory does not grow with its length, nor an import with its checkpoints.

use std::process::Command;
use std::time::Duration;

use safetensors::{Dtype, tensor::TensorView};
use stratigraph::{Scratch, peak_memory_kib, spawn};

/// The most memory that a program held, in KiB.
fn peak_kib(program: &mut Command) -> u64 {
    let mut program = spawn(program);
    let mut peak = 0;
    while program.is_running() {
        peak = peak_memory_kib(program.id()).unwrap_or(0).max(peak);
        std::thread::sleep(Duration::from_millis(2));
    }
    program.wait().expect_success();
    peak
}

/// The most memory that a training of so many epochs held, in KiB.
fn peak_of_training_kib(epochs: &str) -> u64 {
    let scratch = Scratch::new();
    peak_kib(&mut scratch.recorder(&[
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
    ]))
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

/// The most memory that importing a checkpoint of so many tensors held, and exporting it again, in
/// KiB; a tensor has 1 MiB.
fn peaks_of_interchange_kib(num_tensors: usize) -> [u64; 2] {
    let scratch = Scratch::new();
    let bytes = vec![0x3c; 1 << 20];
    let tensors = (0..num_tensors).map(|index| {
        let tensor = TensorView::new(Dtype::F32, vec![512, 512], &bytes).unwrap();
        (format!("layers.{index}.weight"), tensor)
    });
    let checkpoint = scratch.path("model-0.safetensors");
    safetensors::serialize_to_file(tensors, None, &checkpoint).unwrap();
    let import = ["import", "model-0.safetensors", "--out", "run"];
    let export = [
        "export",
        "run",
        "--epoch",
        "0",
        "--out",
        "exported.safetensors",
    ];
    [&import[..], &export].map(|arguments| peak_kib(&mut scratch.recorder(arguments)))
}

#[cfg(target_os = "linux")]
#[test]
fn a_checkpoint_is_never_in_memory_as_a_whole() {
    let (small, large) = (peaks_of_interchange_kib(8), peaks_of_interchange_kib(104));
    for (small, large) in small.into_iter().zip(large) {
        assert!(small > 0);
        // 96 tensors more: a checkpoint held as a whole would take 96 MiB more.
        assert!(
            large < small + 24 * 1024,
            "8 MiB took {small} KiB, 104 MiB took {large} KiB"
        );
    }
}
