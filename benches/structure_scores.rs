//! `structure_scores` over a run of the size that it was made for: 100 epochs, 384 neurons in two
//! hidden layers, 297 held-out samples, 10 classes. From the run's files to all rows.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use arrow::array::{
    ArrayRef, BooleanArray, Float32Array, Int32Array, Int64Array, ListArray, RecordBatch,
    StringArray, new_null_array,
};
use arrow::buffer::OffsetBuffer;
use criterion::Criterion;
use query::analysis::{Membership, Scorer};
use query::{QuerySession, Run, SessionOptions};
use sink::{Part, Sink, SinkOptions};
use trace::{
    CaptureId, Crc32c, DatasetInfo, Epoch, FORMAT_VERSION, Generation, KeyedRng, Layer, LayerLabel,
    Nonce, PartPath, Rank, RunDir, RunInfo, Source, SourceRange, Step, Table, Topology, float_item,
    float_list,
};

const EPOCHS: i32 = 100;
const LAYERS: [(&str, usize, u32); 3] = [
    ("L_hidden_1", 256, 64),
    ("L_hidden_2", 128, 256),
    ("L_output", 10, 128),
];
const SAMPLES: usize = 297;
const CLASSES: usize = 10;

fn main() -> Result<()> {
    let mut criterion = Criterion::default().configure_from_args();
    let scratch = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let path = scratch.path().join("run");
    record(&path)?;
    scores(&mut criterion);
    queries(&mut criterion, &path)?;
    criterion.final_summary();
    Ok(())
}

/// One layer of one epoch, without a file or a row.
fn scores(criterion: &mut Criterion) {
    let classes = classes_at(0).map(|class| Some(class as u32));
    let membership = Membership::new(&classes, CLASSES);
    let values = activations(0, 0, LAYERS[0].1);
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
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
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
    let batches = rows.collect().await?;
    Ok(batches.iter().map(RecordBatch::num_rows).sum())
}

/// Writes the run: ReLUs that are silent half of the time, and predictions that some of them follow.
fn record(path: &Path) -> Result<()> {
    let run = RunDir::create(path, info()?)?;
    let sink = Sink::start(&run, SinkOptions::default())?;
    for epoch in 0..EPOCHS {
        let id = CaptureId {
            epoch: Epoch(epoch),
            step: Step(24 * (i64::from(epoch) + 1)),
        };
        let mut capture = sink.begin(Some(id));
        let mut first_neuron = 0;
        for (layer, num_units, _) in LAYERS {
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

fn info() -> Result<RunInfo> {
    let mut first_neuron = 0;
    let mut before = Source::Input;
    let mut layers = Vec::new();
    for (index, (name, num_units, fan_in)) in LAYERS.into_iter().enumerate() {
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
