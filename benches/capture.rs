//! What a capture costs the thread that trains, and what recording takes of memory.
//!
//! - `capture`: the call by itself, where the hand-off has room.
//! - `next_step`: the optimizer's step after it, which finds the parameters shared with the
//!   snapshot; beside the same step without a capture, and one copy of the parameters.
//! - `memory`: the peak of a process that does nothing but step and record, over what it had
//!   before; of 100 million parameters.
//!
//! `cargo bench --bench capture -- memory` measures that alone. Without `--bench`, as `cargo test`
//! runs it, each is done once with less, to see that it works, and memory may be a layer over its
//! bound.
#![allow(clippy::print_stdout, reason = "a program: results on stdout")]

#[expect(dead_code, reason = "side_by_side uses the rest")]
#[path = "support/report.rs"]
mod report;
#[path = "support/statistics.rs"]
mod statistics;

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use burn::backend::{Autodiff, Flex};
use burn::module::{Module, ModuleMapper, Param};
use burn::nn::Linear;
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{Distribution, Tensor};
use criterion::{BenchmarkId, Criterion};
use recorder::{Recorded, TraceRecorder, WhenFull};

use report::{Target, mebibytes, print_table, print_targets, times};
use statistics::{median, median_interval};

/// What networks are trained on.
type Training = Autodiff<Flex>;

/// Units of every layer of the networks whose captures are timed, and how many layers: 20 tensors.
const WIDTHS: [usize; 3] = [16, 256, 1024];
const NUM_LAYERS: usize = 10;

/// What a capture may cost the thread that trains, in seconds.
const MAX_CAPTURE: f64 = 50e-6;

/// How many copies of the parameters the next step may cost more.
const MAX_COPIES: f64 = 1.0;

/// How often a capture that found no room is tried again, and for how long.
const RETRY: Duration = Duration::from_micros(500);
const PATIENCE: Duration = Duration::from_secs(120);

/// The first argument of the process whose memory is measured.
const MEASURE_MEMORY: &str = "measure-memory";

/// Layers of the network whose memory is measured.
const MEMORY_LAYERS: usize = 4;

/// Beyond the snapshot and the channel's budget, recording may take so many times the largest layer.
const MAX_LAYERS: f64 = 1.2;

/// The C library keeps freed blocks of up to so many bytes for itself, unless it is told not to, and
/// what it keeps is nothing that recording holds. Larger ones go back to the system.
const LARGEST_KEPT: f64 = 32.0 * 1024.0 * 1024.0;

/// How much is measured.
struct Scale {
    rounds: usize,
    /// Units of every layer of the network whose memory is measured.
    memory_width: usize,
    channel_bytes: u64,
}

/// 100 million parameters, with the largest budget that a recorder takes by default.
const FULL: Scale = Scale {
    rounds: 15,
    memory_width: 5000,
    channel_bytes: sink::DEFAULT_CHANNEL_BYTES,
};

/// 16 million parameters, with a budget in the same proportion.
const QUICK: Scale = Scale {
    rounds: 1,
    memory_width: 2000,
    channel_bytes: sink::DEFAULT_CHANNEL_BYTES * 4 / 25,
};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [first, width, channel_bytes, run @ ..] = &arguments[..]
        && first == MEASURE_MEMORY
    {
        let run = run.first().map(Path::new);
        return print_extra_memory(width.parse()?, channel_bytes.parse()?, run);
    }
    let mut criterion = Criterion::default().configure_from_args();
    let is_bench = arguments.iter().any(|argument| argument == "--bench");
    let scale = if is_bench { FULL } else { QUICK };
    let filter = arguments.iter().find(|argument| !argument.starts_with('-'));
    let is_wanted = |name: &str| filter.is_none_or(|filter| name.contains(filter.as_str()));
    // On a disk rather than in a file system in memory, which would be counted as memory.
    let scratch = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;

    let mut targets = Vec::new();
    capture(&mut criterion, scratch.path(), &mut targets)?;
    criterion.final_summary();
    if is_wanted("next_step") {
        next_step(scratch.path(), scale.rounds, &mut targets)?;
    }
    if cfg!(target_os = "linux") && is_wanted("memory") {
        memory(scratch.path(), &scale, &mut targets)?;
    }
    if is_bench {
        print_targets(&targets);
    }
    Ok(())
}

/// Linear layers of one width.
#[derive(Module, Debug)]
struct Network<B: Backend> {
    layers: Vec<Linear<B>>,
}

impl Network<Training> {
    fn new(num_layers: usize, width: usize) -> Self {
        let device = Default::default();
        let around_0 = Distribution::Uniform(-0.2, 0.2);
        let layers = (0..num_layers).map(|_| Linear {
            weight: Param::from_tensor(Tensor::random([width, width], around_0, &device)),
            bias: Some(Param::from_tensor(Tensor::random(
                [width],
                around_0,
                &device,
            ))),
        });
        Self {
            layers: layers.collect(),
        }
    }

    /// One step of an optimizer, without what it would work out from gradients.
    fn step(self) -> Self {
        self.map(&mut Decay)
    }
}

/// Takes parameters out of the module and puts them back, as Burn's optimizers do. In between they
/// change where they are, or, while a snapshot shares them, become new tensors.
struct Decay;

impl<B: AutodiffBackend> ModuleMapper<B> for Decay {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        let (id, tensor, mapper) = param.consume();
        let tensor = tensor.inner().mul_scalar(0.999);
        let tensor = Tensor::from_inner(tensor).require_grad();
        Param::from_mapped_value(id, tensor, mapper)
    }
}

/// Starts to record weights and nothing else, as there is nothing else.
fn start(
    run: &Path,
    network: &Network<Training>,
    channel_bytes: Option<u64>,
    when_full: WhenFull,
) -> Result<TraceRecorder<Flex>> {
    let mut builder = TraceRecorder::builder(run)
        .record(Recorded {
            classifications: false,
            activations: None,
            // Those of captures that found no room would wait, and be written with the next.
            metrics: false,
            ..Recorded::DEFAULT
        })
        .when_full(when_full);
    if let Some(bytes) = channel_bytes {
        builder = builder.channel_bytes(bytes);
    }
    Ok(builder.start(network)?)
}

/// Times captures that found room: one that did not says so, and is not counted.
fn capture(criterion: &mut Criterion, scratch: &Path, targets: &mut Vec<Target>) -> Result<()> {
    let mut group = criterion.benchmark_group("capture");
    // What takes time is reading and writing a capture before the next, which is not measured.
    group.sample_size(10);
    group.warm_up_time(Duration::from_secs(1));
    group.measurement_time(Duration::from_secs(8));
    for width in WIDTHS {
        let network = Network::new(NUM_LAYERS, width);
        let run = scratch.join(format!("capture-{width}"));
        let mut recorder = start(&run, &network, None, WhenFull::Drop)?;
        let mut epochs = 0..;
        let mut seconds = Vec::new();
        group.bench_function(BenchmarkId::from_parameter(width), |bencher| {
            bencher.iter_custom(|num_captures| {
                let captures = (0..num_captures).map(|_| {
                    let time = time_of_capture(&mut recorder, &network, &mut epochs);
                    let time = time.expect("the recorder works");
                    seconds.push(time.as_secs_f64());
                    time
                });
                captures.sum()
            });
        });
        recorder.finish()?;
        fs::remove_dir_all(&run)?;
        if !seconds.is_empty() {
            let seconds = median(&seconds);
            targets.push(Target {
                what: format!("capture of {} tensors, width {width}", 2 * NUM_LAYERS),
                wanted: microseconds(MAX_CAPTURE),
                measured: microseconds(seconds),
                holds: seconds <= MAX_CAPTURE,
            });
        }
    }
    group.finish();
    Ok(())
}

/// Tries to capture the network until there is room, and tells how long that took when there was.
fn time_of_capture(
    recorder: &mut TraceRecorder<Flex>,
    network: &Network<Training>,
    epochs: &mut impl Iterator<Item = i32>,
) -> Result<Duration> {
    let begin = Instant::now();
    for epoch in epochs {
        let start = Instant::now();
        let is_captured = recorder.capture(network, epoch, i64::from(epoch) + 1)?;
        let time = start.elapsed();
        if is_captured {
            return Ok(time);
        }
        ensure!(begin.elapsed() < PATIENCE, "there is no room for a capture");
        thread::sleep(RETRY);
    }
    unreachable!("epochs do not end within the patience")
}

/// In turns: a step, a copy of the parameters, and a step right after a capture.
fn next_step(scratch: &Path, rounds: usize, targets: &mut Vec<Target>) -> Result<()> {
    let mut rows = Vec::new();
    for width in WIDTHS {
        let parameters: Vec<Vec<f32>> = (0..NUM_LAYERS)
            .flat_map(|_| [vec![0.5; width * width], vec![0.5; width]])
            .collect();
        let mut network = Network::new(NUM_LAYERS, width).step();
        let (mut plain, mut copy, mut recorded) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rounds {
            // A step before each that is timed: what files and sleep left in the caches is not.
            network = network.step();
            let (stepped, seconds) = timed(|| network.step());
            network = stepped;
            plain.push(seconds);
            let (copied, seconds) = timed(|| black_box(&parameters).clone());
            copy.push(seconds);
            drop(copied);
            // Finished before the next round: a plain step has nobody beside it.
            let run = scratch.join("next_step");
            let mut recorder = start(&run, &network, None, WhenFull::Block)?;
            network = network.step();
            recorder.capture(&network, 0, 1)?;
            let (stepped, seconds) = timed(|| network.step());
            network = stepped;
            recorded.push(seconds);
            recorder.finish()?;
            fs::remove_dir_all(&run)?;
        }
        let copies: Vec<f64> = (0..rounds)
            .map(|round| (recorded[round] - plain[round]) / copy[round])
            .collect();
        let interval = median_interval(&copies).map_or(String::new(), |(low, high)| {
            format!("{} to {}", times(low), times(high))
        });
        let ratio = |others: &[f64]| -> f64 {
            let ratios = others
                .iter()
                .zip(&plain)
                .map(|(other, plain)| other / plain);
            median(&ratios.collect::<Vec<f64>>())
        };
        rows.push(vec![
            width.to_string(),
            microseconds(median(&plain)),
            times(ratio(&recorded)),
            times(1.0 + ratio(&copy)),
            times(median(&copies)),
            interval,
        ]);
        targets.push(Target {
            what: format!("next step's extra, in copies of the parameters, width {width}"),
            wanted: format!("at most {}", times(MAX_COPIES)),
            measured: times(median(&copies)),
            holds: median(&copies) <= MAX_COPIES,
        });
    }
    print_table(
        &format!("The step after a capture (medians of {rounds})"),
        &[
            "width",
            "step",
            "after a capture",
            "and a copy",
            "extra, in copies",
            "95 % interval",
        ],
        &rows,
    );
    Ok(())
}

/// What `work` gives, and the seconds that it takes.
fn timed<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let start = Instant::now();
    let done = work();
    (done, start.elapsed().as_secs_f64())
}

fn microseconds(seconds: f64) -> String {
    format!("{:.1} µs", seconds * 1e6)
}

/// The peak of a process that steps, and of one that steps and records, over what each had before.
fn memory(scratch: &Path, scale: &Scale, targets: &mut Vec<Target>) -> Result<()> {
    let width = scale.memory_width;
    let layer_bytes = (4 * (width * width + width)) as f64;
    let snapshot_bytes = MEMORY_LAYERS as f64 * layer_bytes;
    let allowed = snapshot_bytes + scale.channel_bytes as f64 + MAX_LAYERS * layer_bytes;
    let extra_bytes = |run: Option<&Path>| -> Result<f64> {
        let mut program = Command::new(std::env::current_exe()?);
        program.arg(MEASURE_MEMORY);
        program.args([width.to_string(), scale.channel_bytes.to_string()]);
        program.args(run);
        if layer_bytes < LARGEST_KEPT {
            program.env("GLIBC_TUNABLES", "glibc.malloc.mmap_threshold=1048576");
        }
        let finished = stratigraph::spawn(&mut program).wait_within(5 * PATIENCE);
        Ok(finished.expect_success().trim().parse()?)
    };
    let alone = extra_bytes(None)?;
    let run = scratch.join("memory");
    let recorded = extra_bytes(Some(&run))?;
    fs::remove_dir_all(&run)?;
    let num_parameters = MEMORY_LAYERS * (width * width + width);
    let millions = format!("{:.1} million parameters", num_parameters as f64 / 1e6);
    print_table(
        &format!("Memory over the network's own, {millions}"),
        &["", "extra"],
        &[
            vec!["steps".to_owned(), mebibytes(alone)],
            vec!["steps and captures".to_owned(), mebibytes(recorded)],
            vec!["one snapshot".to_owned(), mebibytes(snapshot_bytes)],
            vec![
                format!("and the budget, and {MAX_LAYERS} layers"),
                mebibytes(allowed),
            ],
        ],
    );
    // Else the measure is none: a step takes one tensor at a time, a capture holds all of them.
    ensure!(
        alone < layer_bytes && recorded > layer_bytes,
        "steps took {} more and recorded ones {}, with layers of {}",
        mebibytes(alone),
        mebibytes(recorded),
        mebibytes(layer_bytes),
    );
    // The promise is the benchmark's; this is its alarm, whichever threads a busy machine lets run.
    ensure!(
        recorded <= allowed + layer_bytes,
        "recording {millions} took {}, and may take {}",
        mebibytes(recorded),
        mebibytes(allowed),
    );
    targets.push(Target {
        what: format!("memory for recording {millions}"),
        wanted: format!("at most {}", mebibytes(allowed)),
        measured: mebibytes(recorded),
        holds: recorded <= allowed,
    });
    Ok(())
}

/// Steps, and captures into `run` if there is one, and prints how many bytes more than before were
/// resident at the peak.
fn print_extra_memory(width: usize, channel_bytes: u64, run: Option<&Path>) -> Result<()> {
    let mut network = Network::new(MEMORY_LAYERS, width).step();
    let start = |run| start(run, &network, Some(channel_bytes), WhenFull::Block);
    let mut recorder = run.map(start).transpose()?;
    // From here on: what drawing the parameters took is no matter of recording.
    fs::write("/proc/self/clear_refs", "5").context("the peak cannot be reset")?;
    let before = peak_bytes()?;
    // The second capture finds the channel full of the first.
    for epoch in 0..2 {
        network = network.step();
        if let Some(recorder) = &mut recorder {
            recorder.capture(&network, epoch, i64::from(epoch) + 1)?;
        }
    }
    black_box(network.step());
    if let Some(recorder) = recorder {
        recorder.finish()?;
    }
    // The kernel counts pages in batches: a peak that was reset may be a few below what it was.
    println!("{}", peak_bytes()?.saturating_sub(before));
    Ok(())
}

/// The most bytes that this process held resident since the peak was reset.
fn peak_bytes() -> Result<u64> {
    let kib = stratigraph::peak_memory_kib(std::process::id());
    Ok(1024 * kib.context("the system does not tell a process's peak memory in /proc")?)
}
