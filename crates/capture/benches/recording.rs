//! What the recorder's threads take a capture: a network's tables, recorded from values in memory.
//!
//! ```sh
//! cargo bench -p capture --bench recording -- [--captures N] [--hidden 512,256] [--compress auto|size|none]
//!     [--work N] [--threads N] [--tables all|none]
//! ```
//!
//! Prints the processor time of the whole process by capture (`/proc/self/stat`), user's and system's, the time on
//! the clock, and the bytes that were written. What Python's front or Burn's does on the training thread is not in
//! it, but for one copy of all values, which both make.
//!
//! Between captures nothing happens, unless there is `--work`: so many thousand passes over half a megabyte, by
//! so many threads, in 40 steps at whose ends they wait for each other. With `--tables none` nothing else happens.
//!
//! Without `--bench`, as `cargo test` runs it, there are two captures unless there are to be more.
#![allow(clippy::print_stdout, reason = "a program: results on stdout")]

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Barrier};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use capture::rows::SampleSet;
use capture::{
    ActivationDetail, BoxError, Classifications, Layout, NetworkLayers, Origin, Plan, Recorded,
    Recording, Schedule, Source, TensorKind, UnitRows, UnreadPart, Values, WeightDetail,
};
use sink::{Compress, SinkOptions};
use trace::{
    CaptureId, Epoch, FORMAT_VERSION, Layer, LayerLabel, Nonce, RunDir, RunInfo, Step, Topology,
};

const NUM_INPUTS: usize = 784;
const NUM_CLASSES: usize = 10;
const NUM_HELD_OUT: usize = 1_000;

/// Values that are on the host already.
struct Ready(VecDeque<Values>);

impl Source for Ready {
    fn parts(&self) -> Vec<UnreadPart> {
        Vec::new()
    }

    fn read(&mut self, _room: u64) -> Result<Vec<Values>, BoxError> {
        Ok(self.0.drain(..).collect())
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Numbers of about a normal distribution, always the same.
struct Draw(u32);

impl Draw {
    fn next(&mut self) -> f32 {
        let mut uniform = || {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 17;
            self.0 ^= self.0 << 5;
            self.0 as f32 / u32::MAX as f32
        };
        (0..4).map(|_| uniform()).sum::<f32>() - 2.0
    }

    fn normal(&mut self, len: usize, scale: f32) -> Vec<f32> {
        (0..len).map(|_| self.next() * scale).collect()
    }
}

fn main() -> Result<()> {
    let (mut num_captures, mut hidden) = (2, vec![512, 256]);
    let (mut work, mut num_threads, mut is_recorded) = (0, 1, true);
    let mut compress = Compress::default();
    // What cargo adds comes last, and what is asked for after it.
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    arguments.sort_by_key(|argument| argument != "--bench");
    let mut arguments = arguments.into_iter();
    while let Some(name) = arguments.next() {
        if name == "--bench" {
            num_captures = 100;
            continue;
        }
        let value = arguments
            .next()
            .with_context(|| format!("{name} has a value"))?;
        match name.as_str() {
            "--captures" => num_captures = value.parse()?,
            "--work" => work = value.parse()?,
            "--threads" => num_threads = value.parse()?,
            "--tables" => is_recorded = value != "none",
            "--compress" => compress = value.parse()?,
            "--hidden" => hidden = value.split(',').map(str::parse).collect::<Result<_, _>>()?,
            _ => anyhow::bail!("no option is called {name}"),
        }
    }
    let widths: Vec<usize> = [vec![NUM_INPUTS], hidden, vec![NUM_CLASSES]].concat();
    let layers = network(&widths)?;
    // On a disk rather than in a file system in memory, which makes nothing durable.
    let scratch = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let mut recording = start(&scratch.path().join("run"), &layers, compress)?;

    let mut draw = Draw(0x9e37_79b9);
    let values = values(&widths, &mut draw);
    let classified = classified(&mut draw);
    let (user, system) = processor_time()?;
    let begin = Instant::now();
    for nth in 0..num_captures {
        let id = CaptureId {
            epoch: Epoch(nth),
            step: Step(i64::from(nth) + 1),
        };
        train(work, num_threads);
        if !is_recorded {
            continue;
        }
        recording.classified(classified.clone());
        recording.metric(Some("train"), "loss", 0.5);
        let network = Box::new(Ready(values.iter().map(copy).collect()));
        recording.hand_over(id, true, Some(network), Instant::now())?;
    }
    let summary = recording.finish()?;
    let seconds = begin.elapsed().as_secs_f64();
    let (user_after, system_after) = processor_time()?;
    let expected: i32 = if is_recorded { num_captures } else { 0 };
    ensure!(summary.num_captures == u64::from(expected.cast_unsigned()));
    let a_capture = |seconds: f64| seconds * 1e3 / f64::from(num_captures);
    println!(
        "{:.2} ms user, {:.2} ms system, {:.2} ms on the clock and {:.0} KB a capture",
        a_capture(user_after - user),
        a_capture(system_after - system),
        a_capture(seconds),
        summary.sink.part_bytes as f64 / f64::from(num_captures) / 1e3,
    );
    Ok(())
}

/// Linear layers of PyTorch's order `[out, in]`.
fn network(widths: &[usize]) -> Result<Arc<NetworkLayers>> {
    let mut first_neuron = 0;
    let mut layers = Vec::new();
    let mut rows = Vec::new();
    for (nth, pair) in widths.windows(2).enumerate() {
        let (fan_in, num_units) = (u32::try_from(pair[0])?, u32::try_from(pair[1])?);
        layers.push(Layer {
            layer_index: u32::try_from(nth)?,
            layer: LayerLabel::try_new(&format!("layer_{nth}"))?,
            module_path: format!("layer_{nth}"),
            kind: "linear".to_owned(),
            shape: vec![num_units.into(), fan_in.into()],
            fan_in,
            num_units,
            first_neuron,
            activation: None,
            trainable: true,
            source: None,
            tensors: Vec::new(),
            recorded_units: None,
        });
        first_neuron += num_units.cast_signed();
        rows.push(UnitRows::new(Layout::Rows, vec![pair[1], pair[0]]));
    }
    Ok(Arc::new(NetworkLayers::new(
        Topology::try_new(layers)?,
        rows,
    )))
}

/// Everything, of gradients statistics.
fn start(path: &Path, layers: &Arc<NetworkLayers>, compress: Compress) -> Result<Recording> {
    let recorded = Recorded {
        gradients: true,
        gradient_detail: WeightDetail::Statistics,
        activations: Some(ActivationDetail::Raw { samples: 512 }),
        ..Recorded::DEFAULT
    };
    let topology = layers.topology();
    let info = RunInfo {
        format: FORMAT_VERSION,
        run_id: Nonce::draw()?,
        created: "2026-01-01T00:00:00.000Z".to_owned(),
        created_by: "recording benchmark".to_owned(),
        seed: None,
        device: "cpu".to_owned(),
        world_size: 1,
        model: serde_json::Value::Null,
        dataset: None,
        evaluation_batch_size: None,
        class_names: Vec::new(),
        layers: topology.clone(),
        config: serde_json::json!({}),
    };
    let plan = Plan {
        recorded,
        selected: vec![true; topology.layers().len()],
        schedule: Schedule::default(),
        last_epoch: None,
        origin: Origin::default(),
        limits: capture::Limits::default(),
        owner_reports: false,
    };
    let options = SinkOptions {
        channel_bytes: recorded.default_channel_bytes(topology, NUM_HELD_OUT),
        session: Some(serde_json::json!({})),
        compress,
        ..SinkOptions::default()
    };
    let run = RunDir::create(path, info)?;
    Ok(Recording::start(&run, Arc::clone(layers), plan, options)?)
}

/// What keeps the processor as busy as training does.
fn train(work: usize, num_threads: usize) {
    const STEPS: usize = 40;
    let barrier = Barrier::new(num_threads);
    let part = || {
        let mut values = vec![1.0_f32; (128 << 10) / num_threads];
        for _ in 0..STEPS {
            for _ in 0..work * 1000 / STEPS {
                for value in &mut values {
                    *value = *value * 0.999 + 0.001;
                }
                std::hint::black_box(&mut values);
            }
            barrier.wait();
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..num_threads {
            scope.spawn(part);
        }
        part();
    });
}

fn values(widths: &[usize], draw: &mut Draw) -> Vec<Values> {
    let mut all = Vec::new();
    for (kind, scale) in [(TensorKind::Weights, 1.0), (TensorKind::Gradients, 1e-3)] {
        for (layer, pair) in widths.windows(2).enumerate() {
            let scale = scale / (pair[0] as f32).sqrt();
            all.push(Values::Parameters {
                kind,
                layer,
                weight: draw.normal(pair[0] * pair[1], scale),
                bias: Some(draw.normal(pair[1], scale)),
            });
        }
    }
    for (layer, pair) in widths.windows(2).enumerate() {
        let is_last = layer + 2 == widths.len();
        let values = draw.normal(NUM_HELD_OUT * pair[1], 1.0).into_iter();
        let values = values.map(|value| if is_last { value } else { value.max(0.0) });
        all.push(Values::Activations {
            layer,
            samples: SampleSet::HELD_OUT,
            values: values.collect(),
        });
    }
    all
}

fn copy(values: &Values) -> Values {
    match values {
        Values::Parameters {
            kind,
            layer,
            weight,
            bias,
        } => Values::Parameters {
            kind: *kind,
            layer: *layer,
            weight: weight.clone(),
            bias: bias.clone(),
        },
        Values::Activations {
            layer,
            samples,
            values,
        } => Values::Activations {
            layer: *layer,
            samples: *samples,
            values: values.clone(),
        },
        Values::Classifications(rows) => Values::Classifications(rows.clone()),
        Values::Logits(logits) => Values::Logits(logits.clone()),
    }
}

fn classified(draw: &mut Draw) -> Classifications {
    let samples = 0..NUM_HELD_OUT as i32;
    let classes = samples.map(|sample| sample % NUM_CLASSES as i32);
    Classifications {
        target: classes.clone().map(Some).collect(),
        expected: None,
        predicted: classes.map(Some).collect(),
        correct: vec![Some(true); NUM_HELD_OUT],
        confidence: vec![Some(0.9); NUM_HELD_OUT],
        loss: draw.normal(NUM_HELD_OUT, 1.0),
        outputs: draw.normal(NUM_HELD_OUT * NUM_CLASSES, 1.0),
        num_outputs: NUM_CLASSES,
    }
}

/// Seconds that this process has taken of processors, the user's and the system's.
fn processor_time() -> Result<(f64, f64)> {
    /// Ticks a second that Linux tells users of.
    const TICKS: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // Behind the name, which may hold spaces.
    let (_, fields) = stat.rsplit_once(')').context("a name in brackets")?;
    let mut fields = fields.split_whitespace().skip(11).map(str::parse::<f64>);
    let mut next = || -> Result<f64> { Ok(fields.next().context("fields enough")?? / TICKS) };
    Ok((next()?, next()?))
}
