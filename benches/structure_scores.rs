//! `structure_scores` over a run of the size that it was made for: 100 epochs, 384 neurons in two
//! hidden layers, 297 held-out samples, 10 classes. From the run's files to all rows.
//!
//! `cargo bench --bench structure_scores -- memory` measures the memory that it takes instead, of runs
//! of that size and of 10 times as many epochs; `memory 100` of 10 times wider layers as well, which
//! takes 5 GB of disk and some minutes. A capture is let go before the next, so that it is bounded: on
//! two cores, held to 256 MiB, the peaks were (of a development build, our own crates optimised)
//!
//! | size | epochs | neurons | rows | peak |
//! |------|-------:|--------:|-----:|-----:|
//! | 1×   |    100 |     384 | 384,000 | 146 MiB |
//! | 10×  |  1,000 |     384 | 3,840,000 | 179 MiB |
//! | 100× |  1,000 |   3,840 | 38,400,000 | 200 MiB |
//!
//! Without `--bench`, as `cargo test` runs it, the runs are small.
#![allow(clippy::print_stdout, reason = "a program: results on stdout")]

#[path = "../crates/query/src/allocator.rs"]
mod allocator;
#[expect(dead_code, reason = "side_by_side uses the rest")]
#[path = "support/report.rs"]
mod report;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use analysis::{KeyedRng, Membership, Scorer};
use anyhow::{Context, Result, ensure};
use arrow::array::{
    ArrayRef, BooleanArray, Float32Array, Int32Array, Int64Array, ListArray, RecordBatch,
    StringArray, new_null_array,
};
use arrow::buffer::OffsetBuffer;
use criterion::Criterion;
use futures::StreamExt as _;
use report::{mebibytes, print_table};
use sink::{Part, Sink, SinkOptions};
use sql::{QuerySession, Run, SessionOptions};
use trace::{
    CaptureId, Crc32c, DatasetInfo, Epoch, FORMAT_VERSION, Generation, Layer, LayerLabel, Nonce,
    PartPath, Rank, RunDir, RunInfo, Source, SourceRange, Step, Table, Topology, float_item,
    float_list,
};

const SAMPLES: usize = 297;
const CLASSES: usize = 10;

/// The queries of a program of ours have its allocator, of which each process has one.
#[global_allocator]
static ALLOCATOR: allocator::Allocator = allocator::Allocator;

/// The first argument of the process whose memory is measured.
const MEASURE_MEMORY: &str = "measure-memory";

/// What a query may hold where its memory is measured, as `query --memory` says it.
const QUERY_BYTES: usize = 256 << 20;

/// How much more a process may take for 10 and 100 times as much as for a run of the first size.
const MAX_EXTRA_BYTES: u64 = 128 << 20;

/// How long a query may take whose memory is measured.
const PATIENCE: Duration = Duration::from_secs(1800);

/// How large a run is.
#[derive(Clone, Copy)]
struct Size {
    epochs: i32,
    hidden: [usize; 2],
}

const SIZE: Size = Size {
    epochs: 100,
    hidden: [256, 128],
};

/// For a benchmark that only has to work.
const QUICK: Size = Size {
    epochs: 3,
    hidden: [16, 8],
};

impl Size {
    /// So many times as many activations: 10 times as many epochs first, then wider layers.
    fn times(self, scale: usize) -> Self {
        let epochs = scale.min(10);
        Self {
            epochs: self.epochs * epochs as i32,
            hidden: self.hidden.map(|units| units * (scale / epochs)),
        }
    }

    /// Name, units and fan-in of each layer.
    fn layers(self) -> [(&'static str, usize, u32); 3] {
        let [first, second] = self.hidden;
        [
            ("L_hidden_1", first, 64),
            ("L_hidden_2", second, first as u32),
            ("L_output", CLASSES, second as u32),
        ]
    }

    fn num_rows(self) -> usize {
        self.epochs as usize * self.hidden.iter().sum::<usize>() * CLASSES
    }
}

fn main() -> Result<()> {
    allocator::keep_freed_memory();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [first, run] = &arguments[..]
        && first == MEASURE_MEMORY
    {
        return print_peak(Path::new(run));
    }
    let is_bench = arguments.iter().any(|argument| argument == "--bench");
    let size = if is_bench { SIZE } else { QUICK };
    let scratch = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let words: Vec<&str> = words
        .into_iter()
        .filter(|word| !word.starts_with('-'))
        .collect();
    match words[..] {
        ["memory", ref scales @ ..] => {
            let asked = scales.iter().map(|scale| Ok(scale.parse()?));
            let scales = [Ok(1), Ok(10)].into_iter().chain(asked);
            return memory(
                scratch.path(),
                size,
                &scales.collect::<Result<Vec<usize>>>()?,
            );
        }
        // It has to work, which costs little of runs that are small.
        _ if !is_bench => memory(scratch.path(), size, &[1, 10])?,
        _ => {}
    }
    let mut criterion = Criterion::default().configure_from_args();
    let path = scratch.path().join("run");
    record(&path, size)?;
    scores(&mut criterion);
    queries(&mut criterion, &path)?;
    criterion.final_summary();
    Ok(())
}

/// The peaks of processes that score every neuron at every epoch, of runs of several sizes.
fn memory(scratch: &Path, size: Size, scales: &[usize]) -> Result<()> {
    let mut rows = Vec::new();
    let mut peaks = Vec::new();
    for &scale in scales {
        let size = size.times(scale);
        let run = scratch.join("memory");
        record(&run, size)?;
        let mut program = Command::new(std::env::current_exe()?);
        program.arg(MEASURE_MEMORY).arg(&run);
        let start = Instant::now();
        let told = stratigraph::spawn(&mut program)
            .wait_within(PATIENCE)
            .expect_success();
        let elapsed = start.elapsed();
        std::fs::remove_dir_all(&run)?;
        let told = told.trim().split_once(' ').context("rows and bytes")?;
        let (num_rows, peak): (usize, u64) = (told.0.parse()?, told.1.parse()?);
        ensure!(
            num_rows == size.num_rows(),
            "{num_rows} rows of {}",
            size.num_rows()
        );
        peaks.push(peak);
        rows.push(vec![
            format!("{scale}×"),
            size.epochs.to_string(),
            size.hidden.iter().sum::<usize>().to_string(),
            num_rows.to_string(),
            format!("{:.1} s", elapsed.as_secs_f64()),
            mebibytes(peak as f64),
        ]);
    }
    print_table(
        &format!(
            "structure_scores, all rows, queries held to {}",
            mebibytes(QUERY_BYTES as f64)
        ),
        &["size", "epochs", "neurons", "rows", "time", "peak"],
        &rows,
    );
    let most = peaks.iter().copied().max().unwrap_or(0);
    let allowed = peaks[0] + MAX_EXTRA_BYTES;
    ensure!(
        most <= allowed,
        "a process took {}, and may take {}",
        mebibytes(most as f64),
        mebibytes(allowed as f64)
    );
    Ok(())
}

/// Scores a run, and prints how many rows that gave and the most bytes that were resident.
fn print_peak(run: &Path) -> Result<()> {
    let session = Run::open(run)?.session(SessionOptions {
        memory_bytes: Some(QUERY_BYTES),
        ..SessionOptions::default()
    })?;
    let all = [("epoch", "all"), ("top", "all"), ("permutations", "0")];
    let num_rows = runtime()?.block_on(num_rows(&session, &all))?;
    let kib = stratigraph::peak_memory_kib(std::process::id());
    let kib = kib.context("the system does not tell a process's peak memory in /proc")?;
    println!("{num_rows} {}", 1024 * kib);
    Ok(())
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    Ok(runtime.enable_all().build()?)
}

/// One layer of one epoch, without a file or a row.
fn scores(criterion: &mut Criterion) {
    let classes = classes_at(0).map(|class| Some(class as u32));
    let membership = Membership::new(&classes, CLASSES);
    let values = activations(0, 0, SIZE.hidden[0]);
    criterion.bench_function("score 256 neurons", |bencher| {
        bencher.iter(|| {
            let mut scorer = Scorer::new(&membership);
            let strongest = values.chunks(SAMPLES).map(|neuron| {
                let scores = scorer.score(neuron).iter().flatten();
                scores.map(|s| s.correlation).fold(0.0, f64::max)
            });
            strongest.fold(0.0, f64::max)
        });
    });
}

fn queries(criterion: &mut Criterion, path: &Path) -> Result<()> {
    let runtime = runtime()?;
    let session = Run::open(path)?.session(SessionOptions::default())?;
    let mut group = criterion.benchmark_group("structure_scores");
    group.sample_size(10);
    for (name, parameters) in [
        (
            "100 epochs",
            &[("epoch", "all"), ("top", "all"), ("permutations", "0")][..],
        ),
        (
            "100 epochs, top 20",
            &[("epoch", "all"), ("permutations", "0")],
        ),
        ("an epoch, 1000 permutations", &[]),
        ("100 epochs, 1000 permutations", &[("epoch", "all")]),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                runtime
                    .block_on(num_rows(&session, parameters))
                    .expect("it answers")
            });
        });
    }
    group.finish();
    Ok(())
}

async fn num_rows(session: &QuerySession, parameters: &[(&str, &str)]) -> Result<usize> {
    let owned = parameters.iter();
    let owned: Vec<(String, String)> = owned
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let rows = session.named("structure_scores", &owned).await?;
    let mut batches = rows.execute_stream().await?;
    let mut num_rows = 0;
    while let Some(batch) = batches.next().await {
        num_rows += batch?.num_rows();
    }
    Ok(num_rows)
}

/// Writes the run: ReLUs that are silent half of the time, and predictions that some of them follow.
fn record(path: &Path, size: Size) -> Result<()> {
    let run = RunDir::create(path, info(size)?)?;
    let sink = Sink::start(&run, SinkOptions::default())?;
    for epoch in 0..size.epochs {
        let id = CaptureId {
            epoch: Epoch(epoch),
            step: Step(24 * (i64::from(epoch) + 1)),
        };
        let mut capture = sink.begin(Some(id));
        let mut first_neuron = 0;
        for (layer, num_units, _) in size.layers() {
            let rows = activation_rows(id.step, first_neuron, epoch, num_units)?;
            capture.send(part(Table::Activations, id, Some(layer), rows)?)?;
            first_neuron += num_units as i32;
        }
        let rows = classification_rows(id.step, epoch)?;
        capture.send(part(Table::Classifications, id, None, rows)?)?;
        capture.end()?;
    }
    sink.finish()?;
    Ok(())
}

fn info(size: Size) -> Result<RunInfo> {
    let mut first_neuron = 0;
    let mut before = Source::Input;
    let mut layers = Vec::new();
    for (index, (name, num_units, fan_in)) in size.layers().into_iter().enumerate() {
        let label = LayerLabel::try_new(name)?;
        layers.push(Layer {
            layer_index: index as u32,
            layer: label.clone(),
            module_path: format!("layers.{index}"),
            kind: "linear".to_owned(),
            shape: vec![num_units as u64, fan_in.into()],
            fan_in,
            num_units: num_units as u32,
            first_neuron,
            activation: Some("relu".to_owned()),
            trainable: true,
            source: Some(vec![SourceRange::all(before, fan_in)]),
            tensors: Vec::new(),
            recorded_units: None,
        });
        first_neuron += num_units as i32;
        before = Source::Layer(label);
    }
    Ok(RunInfo {
        format: FORMAT_VERSION,
        run_id: Nonce::draw()?,
        created: trace::now(),
        created_by: "a benchmark".to_owned(),
        seed: None,
        device: "none".to_owned(),
        world_size: 1,
        model: serde_json::Value::Null,
        dataset: Some(DatasetInfo {
            kind: "none".to_owned(),
            source: "built-in".to_owned(),
            crc32c: Crc32c::of(&[]),
            num_train: 0,
            num_held_out: SAMPLES as u64,
            held_out: "all".to_owned(),
            details: None,
        }),
        evaluation_batch_size: None,
        class_names: (0..CLASSES).map(|class| class.to_string()).collect(),
        layers: Topology::try_new(layers)?,
        config: serde_json::Value::Null,
    })
}

fn part(table: Table, id: CaptureId, layer: Option<&str>, rows: RecordBatch) -> Result<Part> {
    Ok(Part {
        path: PartPath {
            table,
            epoch: id.epoch,
            layer: layer.map(LayerLabel::try_new).transpose()?,
            step: id.step,
            rank: Rank(0),
            generation: Generation(0),
            sequence: 0,
            nonce: None,
        },
        rows,
    })
}

fn classes_at(epoch: i32) -> [i32; SAMPLES] {
    let mut rng = KeyedRng::new([1, 0, epoch as u64, 0]);
    std::array::from_fn(|_| rng.below(CLASSES as u64) as i32)
}

/// The activations of neurons from `first` on, neuron after neuron.
fn activations(epoch: i32, first: usize, num_units: usize) -> Vec<f32> {
    let classes = classes_at(epoch);
    let mut rng = KeyedRng::new([2, first as u64, epoch as u64, 0]);
    let mut values = Vec::with_capacity(num_units * SAMPLES);
    for unit in 0..num_units {
        let pull = (unit % 4) as f32 / 8.0;
        for class in classes {
            let noise = rng.next_u32() as f32 / u32::MAX as f32 - 0.5;
            let is_own = class as usize == unit % CLASSES;
            values.push((noise + if is_own { pull } else { 0.0 }).max(0.0));
        }
    }
    values
}

fn activation_rows(step: Step, first: i32, epoch: i32, num_units: usize) -> Result<RecordBatch> {
    let values = activations(epoch, first as usize, num_units);
    let lists = ListArray::new(
        Arc::new(float_item()),
        OffsetBuffer::from_lengths(std::iter::repeat_n(SAMPLES, num_units)),
        Arc::new(Float32Array::from(values)),
        None,
    );
    let units = Int32Array::from_iter_values(0..num_units as i32);
    let neurons = Int32Array::from_iter_values(first..first + num_units as i32);
    let statistic = || new_null_array(&arrow::datatypes::DataType::Float32, num_units);
    let long = |value: i64| -> ArrayRef { Arc::new(Int64Array::from_value(value, num_units)) };
    let int = |value: i32| -> ArrayRef { Arc::new(Int32Array::from_value(value, num_units)) };
    let mut columns: Vec<ArrayRef> = vec![
        long(step.0),
        int(0),
        Arc::new(StringArray::from(vec!["eval"; num_units])),
        int(0),
        Arc::new(neurons),
        Arc::new(units),
        long(SAMPLES as i64),
        Arc::new(lists),
    ];
    columns.extend((0..7).map(|_| statistic()));
    columns.extend([long(0), long(0)]);
    Ok(RecordBatch::try_new(Table::Activations.schema(), columns)?)
}

fn classification_rows(step: Step, epoch: i32) -> Result<RecordBatch> {
    let classes = Int32Array::from(classes_at(epoch).to_vec());
    let outputs = ListArray::new(
        Arc::new(float_item()),
        OffsetBuffer::from_lengths(std::iter::repeat_n(CLASSES, SAMPLES)),
        Arc::new(Float32Array::from(vec![0.1; CLASSES * SAMPLES])),
        None,
    );
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_value(step.0, SAMPLES)),
        Arc::new(Int32Array::from_value(0, SAMPLES)),
        Arc::new(StringArray::from(vec!["eval"; SAMPLES])),
        Arc::new(Int64Array::from_iter_values(0..SAMPLES as i64)),
        Arc::new(classes.clone()),
        new_null_array(&float_list(), SAMPLES),
        Arc::new(classes),
        Arc::new(BooleanArray::from(vec![true; SAMPLES])),
        Arc::new(Float32Array::from(vec![0.1; SAMPLES])),
        Arc::new(Float32Array::from(vec![1.0; SAMPLES])),
        Arc::new(outputs),
    ];
    Ok(RecordBatch::try_new(
        Table::Classifications.schema(),
        columns,
    )?)
}
