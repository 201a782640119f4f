//! Each stage of the data path by itself: channel, encoding, publishing, reading, named queries.

#[path = "support/runs.rs"]
mod runs;

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use arrow::array::{ArrayRef, Float32Array, Int32Array, Int64Array, ListArray, RecordBatch};
use arrow::buffer::OffsetBuffer;
use criterion::{BenchmarkId, Criterion, Throughput};
use crossbeam_channel::bounded;
use sink::{ByteBudget, CHANNEL_PARTS, Compress, Part, Sink, SinkOptions, encode_part};
use sql::{NamedQuery, QuerySession, Run, SessionOptions};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use trace::{
    CaptureId, Epoch, Generation, LayerLabel, PartPath, Rank, RunDir, Step, Table, float_item,
};

use runs::{RAW, everything, read_captures, train_digits};

/// Units and fan-in of weights parts: two layers of a small network, and one that is large.
const SHAPES: [(usize, usize); 3] = [(256, 64), (128, 256), (4096, 1024)];

/// The network that `recorder train` trains, and for how long.
const HIDDEN: [usize; 2] = [128, 64];
const EPOCHS: usize = 50;

fn main() -> Result<()> {
    let mut criterion = Criterion::default().configure_from_args();
    let parts = SHAPES
        .into_iter()
        .map(|(num_units, fan_in)| weights_part(num_units, fan_in))
        .collect::<Result<Vec<Part>>>()?;
    // On a disk rather than in a file system in memory, which makes nothing durable.
    let scratch = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let run = scratch.path().join("digits");
    train_digits(&run, &HIDDEN, EPOCHS, Some(everything(RAW)))?;

    channel(&mut criterion, &parts);
    encode(&mut criterion, &parts);
    publish(&mut criterion, &run, &scratch)?;
    queries(&mut criterion, &run)?;
    criterion.final_summary();
    Ok(())
}

/// One part's rows of `weights`.
fn weights_part(num_units: usize, fan_in: usize) -> Result<Part> {
    let values = noise(num_units * fan_in);
    let units = Int32Array::from_iter_values(0..i32::try_from(num_units)?);
    let weights = ListArray::new(
        Arc::new(float_item()),
        OffsetBuffer::from_lengths(std::iter::repeat_n(fan_in, num_units)),
        Arc::new(Float32Array::from(values)),
        None,
    );
    let statistic = || -> ArrayRef { Arc::new(Float32Array::from(noise(num_units))) };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_value(0, num_units)),
        Arc::new(Int32Array::from_value(0, num_units)),
        Arc::new(units.clone()),
        Arc::new(units),
        statistic(),
        Arc::new(weights),
        statistic(),
        statistic(),
        statistic(),
        statistic(),
        statistic(),
        statistic(),
        statistic(),
        Arc::new(Int32Array::from_value(0, num_units)),
        Arc::new(Int32Array::from_value(0, num_units)),
    ];
    Ok(Part {
        path: PartPath {
            table: Table::Weights,
            epoch: Epoch(0),
            layer: Some(LayerLabel::try_new("L_hidden_1")?),
            step: Step(0),
            rank: Rank(0),
            generation: Generation(0),
            sequence: 0,
            nonce: None,
        },
        rows: RecordBatch::try_new(Table::Weights.schema(), columns)?,
    })
}

/// Floats that look like weights: around 0, no two alike.
fn noise(len: usize) -> Vec<f32> {
    let mut state = 0x9e37_79b9_u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as f32 / u32::MAX as f32
    };
    (0..len).map(|_| (next() + next() - 1.0) * 0.2).collect()
}

fn shape(part: &Part) -> String {
    let num_units = part.rows.num_rows();
    let (_, fan_in) = SHAPES
        .into_iter()
        .find(|(units, _)| *units == num_units)
        .expect("parts are of these shapes");
    format!("{num_units}x{fan_in}")
}

/// From a sender through the budget and the channel to a thread that drops the part.
fn channel(criterion: &mut Criterion, parts: &[Part]) {
    let mut group = criterion.benchmark_group("channel");
    for part in parts {
        // Room for four: the sender waits now and then, as it does when encoding is slower.
        let budget = ByteBudget::new(4 * part.memory_bytes());
        let (sender, receiver) = bounded(CHANNEL_PARTS);
        thread::scope(|scope| {
            scope.spawn(move || receiver.into_iter().for_each(drop));
            group.bench_function(BenchmarkId::from_parameter(shape(part)), |bencher| {
                bencher.iter(|| {
                    let (permit, _) = budget
                        .take(part.memory_bytes())
                        .expect("nobody closes the budget");
                    sender
                        .send((part.clone(), permit))
                        .expect("the thread receives until the sender is gone");
                });
            });
            drop(sender);
        });
    }
    group.finish();
}

/// A part as a Parquet file in memory.
fn encode(criterion: &mut Criterion, parts: &[Part]) {
    let mut group = criterion.benchmark_group("encode");
    for part in parts {
        group.throughput(Throughput::Bytes(part.memory_bytes()));
        group.bench_function(BenchmarkId::from_parameter(shape(part)), |bencher| {
            let mut file = Vec::new();
            bencher.iter(|| {
                file.clear();
                encode_part(black_box(part), Compress::Auto, &mut file)
                    .expect("the rows are of the table");
            });
        });
    }
    group.finish();
}

/// One capture of the digits, all tables, from memory into a run: until it is durable, and until
/// it is handed over, which is as fast as it can be encoded once the channel is full.
fn publish(criterion: &mut Criterion, run: &Path, scratch: &TempDir) -> Result<()> {
    let run = RunDir::open(run)?;
    let captures = read_captures(&run)?;
    let whole = captures.iter().find(|capture| capture.id.is_some());
    let parts = &whole.context("the run has captures")?.parts;
    let part_bytes = parts.iter().map(Part::memory_bytes).sum::<u64>();
    let mut group = criterion.benchmark_group(format!("capture of {} parts", parts.len()));
    group.throughput(Throughput::Bytes(part_bytes));
    for (name, is_durable) in [("durable", true), ("handed over", false)] {
        let copy = RunDir::create(&scratch.path().join(name), run.info().clone())?;
        let options = SinkOptions {
            channel_bytes: 4 * part_bytes,
            min_publish_interval: match is_durable {
                true => Duration::ZERO,
                false => sink::DEFAULT_MIN_PUBLISH_INTERVAL,
            },
            ..SinkOptions::default()
        };
        let sink = Sink::start(&copy, options)?;
        let mut epoch = 0;
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                record(&sink, epoch, parts).expect("the sink works");
                if is_durable {
                    sink.flush().expect("the sink works");
                }
                epoch += 1;
            });
        });
        sink.finish()?;
    }
    group.finish();
    Ok(())
}

/// The same rows under another epoch, because no file is ever written twice.
fn record(sink: &Sink, epoch: i32, parts: &[Part]) -> Result<()> {
    let epoch = Epoch(epoch);
    let step = parts[0].path.step;
    let mut capture = sink.begin(Some(CaptureId { epoch, step }));
    for part in parts {
        let path = PartPath {
            epoch,
            step,
            ..part.path.clone()
        };
        let rows = part.rows.clone();
        capture.send(Part { path, rows })?;
    }
    Ok(capture.end()?)
}

/// All values of a table, and each named query to its last row. Opening the run is measured too.
fn queries(criterion: &mut Criterion, run: &Path) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    criterion.bench_function("open", |bencher| {
        bencher.iter(|| open(run).expect("the run can be opened"));
    });
    let session = open(run)?;
    let mut group = criterion.benchmark_group("read");
    for (table, sql) in [
        (
            "weights",
            "SELECT count(*), sum(vec_norm(weights)) FROM weights",
        ),
        (
            "activations",
            "SELECT count(*), sum(vec_norm(activations)) FROM activations",
        ),
        (
            "classifications",
            "SELECT count(*), sum(vec_norm(outputs)) FROM classifications",
        ),
        ("metrics", "SELECT count(*), sum(value) FROM metrics"),
    ] {
        group.bench_function(table, |bencher| {
            bencher.iter(|| {
                answer(&runtime, async {
                    Ok(session.sql(sql).await?.collect().await?)
                })
            });
        });
    }
    group.finish();
    let mut group = criterion.benchmark_group("query");
    group.sample_size(20);
    for query in NamedQuery::all() {
        group.bench_function(query.name(), |bencher| {
            bencher.iter(|| {
                let rows = session.named(query.name(), &[]);
                answer(&runtime, async { Ok(rows.await?.collect().await?) })
            });
        });
    }
    group.finish();
    Ok(())
}

fn open(run: &Path) -> Result<QuerySession> {
    Ok(Run::open(run)?.session(SessionOptions::default())?)
}

fn answer(
    runtime: &Runtime,
    work: impl Future<Output = Result<Vec<RecordBatch>>>,
) -> Vec<RecordBatch> {
    runtime.block_on(work).expect("the query can be answered")
}
