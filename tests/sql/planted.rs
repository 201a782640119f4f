//! A run with neurons that follow the network's predictions, planted where everybody can see them.
//!
//! Four hidden neurons (0 to 3), four outputs, four epochs. Of 32 held-out samples sample `s` is
//! taken for class `s % 4`. A neuron that follows a class is active, with 1, for its samples alone;
//! one that follows nothing is active for one sample of class 0. The network is wrong about the
//! samples that it takes for class 1, which are of class 3.
//!
//! | neuron | epoch 0 | 1 | 2 | 3 |
//! |---|---|---|---|---|
//! | 0 | class 0 | 0 | 0 | 0 |
//! | 1 | class 1 | nothing | 1 | 1 |
//! | 2 | class 2 | 2 | 0 | 0 |
//! | 3 | nothing | nothing | nothing | nothing |
//!
//! A correlation of 1 is one permutation's in ten million. A neuron's with a class that it does not
//! follow is -⅓, which is every seventh's; that of one that follows nothing is 0.311 with class 0,
//! and -0.104 with others.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use arrow::array::{
    ArrayRef, BooleanArray, Float32Array, Int32Array, Int64Array, StringArray, new_null_array,
};
use arrow::datatypes::DataType;
use sql::{QueryError, QuerySession, Run, SessionOptions};
use tempfile::TempDir;
use trace::{
    CaptureId, Epoch, Group, Layer, LayerLabel, Publisher, Rank, RunDir, RunInfo, Source,
    SourceRange, Step, Table, Topology,
};

use super::tiny::{self, HIDDEN, OUTPUT};

const NEURONS: usize = 4;
const CLASSES: usize = 4;
const SAMPLES: usize = 32;

/// The class that a neuron follows at an epoch.
const FOLLOWED: [[Option<usize>; NEURONS]; 4] = [
    [Some(0), Some(1), Some(2), None],
    [Some(0), None, Some(2), None],
    [Some(0), Some(1), Some(0), None],
    [Some(0), Some(1), Some(0), None],
];

/// A session over the run, which reads its epochs in two groups.
pub fn session() -> Result<(TempDir, QuerySession)> {
    let dir = TempDir::new()?;
    let run = write(&dir.path().join("run"))?;
    let options = SessionOptions {
        target_partitions: Some(2),
        ..SessionOptions::default()
    };
    let session = Run::open(run.path())?.session(options)?;
    Ok((dir, session))
}

fn write(path: &Path) -> Result<RunDir> {
    let run = RunDir::create(path, info()?)?;
    let mut publisher = Publisher::try_new(&run, Rank(0), None)?;
    for (epoch, followed) in (0..).zip(FOLLOWED) {
        let step = 10 * (i64::from(epoch) + 1);
        let captures = vec![CaptureId {
            epoch: Epoch(epoch),
            step: Step(step),
        }];
        let parts = vec![
            tiny::part(
                &publisher,
                Table::Activations,
                epoch,
                step,
                Some(HIDDEN),
                activations(step, followed),
            )?,
            tiny::part(
                &publisher,
                Table::Classifications,
                epoch,
                step,
                None,
                classifications(step),
            )?,
        ];
        publisher.publish(Group {
            captures,
            parts,
            ..Group::default()
        })?;
    }
    Ok(run)
}

fn info() -> Result<RunInfo> {
    let layer = |index: usize, name: &str, fan_in: usize, num_units: usize, source| -> Result<_> {
        Ok(Layer {
            layer_index: index as u32,
            layer: LayerLabel::try_new(name)?,
            module_path: format!("layers.{index}"),
            kind: "linear".to_owned(),
            shape: vec![num_units as u64, fan_in as u64],
            fan_in: fan_in as u32,
            num_units: num_units as u32,
            first_neuron: (index * NEURONS) as i32,
            activation: (index == 0).then(|| "relu".to_owned()),
            trainable: true,
            source: Some(vec![SourceRange::all(source, fan_in as u32)]),
            tensors: Vec::new(),
            recorded_units: None,
        })
    };
    let hidden = Source::Layer(LayerLabel::try_new(HIDDEN)?);
    Ok(RunInfo {
        layers: Topology::try_new(vec![
            layer(0, HIDDEN, 2, NEURONS, Source::Input)?,
            layer(1, OUTPUT, NEURONS, CLASSES, hidden)?,
        ])?,
        class_names: ["a", "b", "c", "d"].map(str::to_owned).to_vec(),
        ..tiny::info()?
    })
}

fn activations(step: i64, followed: [Option<usize>; NEURONS]) -> Vec<ArrayRef> {
    let neuron = |class: &Option<usize>| -> Vec<f32> {
        let is_active = |sample: usize| match class {
            Some(class) => sample % CLASSES == *class,
            None => sample == 0,
        };
        let values = (0..SAMPLES).map(|sample| f32::from(u8::from(is_active(sample))));
        values.collect()
    };
    let lists: Vec<Vec<f32>> = followed.iter().map(neuron).collect();
    let lists = tiny::nullable_lists(lists.iter().map(|list| Some(list.as_slice())));
    let absent = || new_null_array(&DataType::Float32, NEURONS);
    vec![
        tiny::long([step; NEURONS]),
        tiny::int([0; NEURONS]),
        Arc::new(StringArray::from(vec!["eval"; NEURONS])),
        tiny::int([0; NEURONS]),
        tiny::int([0, 1, 2, 3]),
        tiny::int([0, 1, 2, 3]),
        tiny::long([SAMPLES as i64; NEURONS]),
        Arc::new(lists),
        absent(),
        absent(),
        absent(),
        absent(),
        absent(),
        absent(),
        absent(),
        tiny::long([0; NEURONS]),
        tiny::long([0; NEURONS]),
    ]
}

fn classifications(step: i64) -> Vec<ArrayRef> {
    let classes = Int32Array::from_iter_values((0..SAMPLES as i32).map(|s| s % CLASSES as i32));
    let targets = classes.iter().map(|class| match class {
        Some(1) => Some(3),
        class => class,
    });
    let targets: Int32Array = targets.collect();
    let correct: BooleanArray = classes.iter().map(|class| Some(class != Some(1))).collect();
    let outputs: &[f32] = &[0.25, 0.25, 0.25, 0.25];
    vec![
        tiny::long([step; SAMPLES]),
        tiny::int([0; SAMPLES]),
        Arc::new(StringArray::from(vec!["eval"; SAMPLES])),
        Arc::new(Int64Array::from_iter_values(0..SAMPLES as i64)),
        Arc::new(targets),
        new_null_array(&trace::float_list(), SAMPLES),
        Arc::new(classes),
        Arc::new(correct),
        Arc::new(Float32Array::from(vec![0.25; SAMPLES])),
        Arc::new(Float32Array::from(vec![0.25; SAMPLES])),
        Arc::new(tiny::nullable_lists(vec![Some(outputs); SAMPLES])),
    ]
}

#[tokio::test]
async fn scores_that_do_not_fit_into_memory_are_an_error() -> Result<()> {
    let dir = TempDir::new()?;
    let run = write(&dir.path().join("run"))?;
    for query in ["structure_scores", "linear_probe"] {
        // A capture's lists alone are four times 32 values.
        for (memory_bytes, fits) in [(256, false), (64 << 20, true)] {
            let options = SessionOptions {
                memory_bytes: Some(memory_bytes),
                target_partitions: Some(1),
                ..SessionOptions::default()
            };
            let session = Run::open(run.path())?.session(options)?;
            let rows = session.named(query, &[]).await?.collect().await;
            match rows.map_err(QueryError::from) {
                Ok(_) => assert!(fits, "{query} with {memory_bytes} bytes"),
                Err(QueryError::Resources(_)) => {
                    assert!(!fits, "{query} with {memory_bytes} bytes")
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}
