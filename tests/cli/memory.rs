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

/// Writes IDX files of images of so many rows and columns, of which one row is bright: its number is
/// the label, below 10.
fn write_images(scratch: &Scratch, side: u32, num_train: u32, num_held_out: u32) {
    std::fs::create_dir(scratch.path("images")).unwrap();
    for (set, num_images) in [("train", num_train), ("t10k", num_held_out)] {
        let write = |name: String, sizes: &[u32], values: Vec<u8>| {
            let mut bytes = vec![0, 0, 8, sizes.len() as u8];
            bytes.extend(sizes.iter().flat_map(|size| size.to_be_bytes()));
            bytes.extend(values);
            std::fs::write(scratch.path(&name), bytes).unwrap();
        };
        let label = |image: u32| image % 10.min(side);
        let pixels = (0..num_images).flat_map(|image| {
            let pixels = (0..side * side).map(move |pixel| pixel / side);
            pixels.map(move |row| if row == label(image) { 255 } else { 0 })
        });
        write(
            format!("images/{set}-images-idx3-ubyte"),
            &[num_images, side, side],
            pixels.collect(),
        );
        write(
            format!("images/{set}-labels-idx1-ubyte"),
            &[num_images],
            (0..num_images).map(|image| label(image) as u8).collect(),
        );
    }
}

/// The most memory that training held where so many images are held out, in KiB.
fn peak_with_images_kib(num_held_out: u32, arguments: &[&str]) -> u64 {
    let scratch = Scratch::new();
    write_images(&scratch, 28, 64, num_held_out);
    let train = "train --device cpu --dataset idx:images --model cnn --channels 16,8 --hidden 16 \
                 --epochs 1";
    let train: Vec<&str> = train.split_whitespace().collect();
    peak_kib(&mut scratch.recorder(&[&train[..], arguments].concat()))
}

/// 3,584 images more are 21 MiB of numbers, held twice while they are read. What the first layer
/// makes of them are 171 MiB, 43 MiB for the second.
#[cfg(target_os = "linux")]
#[test]
fn what_layers_make_of_images_is_not_kept() {
    for arguments in [&["--record", "none"][..], &["--out", "run"]] {
        let [small, large] = [512, 4096].map(|num| peak_with_images_kib(num, arguments));
        assert!(small > 0);
        assert!(
            large < small + 80 * 1024,
            "{arguments:?}: 512 images took {small} KiB, 4,096 images {large} KiB"
        );
    }
}

/// 4,000 samples of 10 classes are some 400 KiB a draw, as logits and as rows.
#[cfg(target_os = "linux")]
#[test]
fn an_ablation_keeps_no_draw() {
    let scratch = Scratch::new();
    write_images(&scratch, 10, 64, 4000);
    let train = "train --device cpu --dataset idx:images --hidden 8 --epochs 1 --out run";
    let train: Vec<&str> = train.split_whitespace().collect();
    stratigraph::run(&mut scratch.recorder(&train)).expect_success();
    let peak = |draws| {
        let ablate = ["ablate", "run", "--epoch", "0", "--neurons", "1,2"];
        peak_kib(&mut scratch.recorder(&[&ablate[..], &["--draws", draws]].concat()))
    };
    let (few, many) = (peak("2"), peak("200"));
    assert!(few > 0);
    assert!(
        many < few + 20 * 1024,
        "2 draws took {few} KiB, 200 draws {many} KiB"
    );
}
