use std::num::NonZeroU32;

use arrow::array::{AsArray as _, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::Float32Type;
use trace::{CaptureId, Epoch, Generation, LayerLabel, Rank, Source, SourceRange, Step, Topology};

use super::*;
use crate::evaluation::{Loss, TargetRows, Targets};
use crate::layout::{Layout, UnitRows};
use crate::recording::choose_units;

fn place() -> Place {
    let id = CaptureId {
        epoch: Epoch(3),
        step: Step(96),
    };
    Place {
        key: RowKey { id, rank: Rank(1) },
        generation: Generation(2),
    }
}

/// A network of one layer, with its weights in that layout and shape.
fn network(layout: Layout, shape: &[usize], kind: &str, units: Option<u32>) -> Arc<NetworkLayers> {
    let rows = UnitRows::new(layout, shape.to_vec());
    let (num_units, fan_in) = (rows.num_units() as u32, rows.fan_in() as u32);
    let layer = Layer {
        layer_index: 0,
        layer: LayerLabel::try_new("L_output").unwrap(),
        module_path: "output".to_owned(),
        kind: kind.to_owned(),
        shape: shape.iter().map(|&size| size as u64).collect(),
        fan_in,
        num_units,
        first_neuron: 0,
        activation: None,
        trainable: true,
        source: Some(vec![SourceRange::all(Source::Input, fan_in)]),
        tensors: Vec::new(),
        recorded_units: None,
    };
    let topology = Topology::try_new(vec![layer]).unwrap();
    let topology = choose_units(topology, units.and_then(NonZeroU32::new), 7);
    Arc::new(NetworkLayers::new(topology, vec![rows]))
}

/// 0, 1, 2, ...: of them 0 and 1 are no number and infinite.
fn numbered(num_values: usize) -> Vec<f32> {
    let mut values: Vec<f32> = (0..num_values).map(|n| n as f32).collect();
    for (value, odd) in values.iter_mut().zip([f32::NAN, f32::INFINITY]) {
        *value = odd;
    }
    values
}

/// Layers are not split.
fn whole() -> Split {
    Split::new(MaxPartBytes::default())
}

/// Without histograms.
fn split_part_of(
    layers: &Arc<NetworkLayers>,
    recorded: &Recorded,
    split: &mut Split,
    values: Values,
) -> Option<RawPart> {
    let mut histograms = Histograms::new(None);
    let part = RawPart::of_capture(place(), layers, recorded, split, &mut histograms, values);
    assert_eq!(histograms.parts(place(), layers).count(), 0);
    part
}

fn part_of(layers: &Arc<NetworkLayers>, recorded: &Recorded, values: Values) -> RawPart {
    split_part_of(layers, recorded, &mut whole(), values).unwrap()
}

fn made(part: RawPart) -> Part {
    let mut parts = all_made(part);
    assert_eq!(parts.len(), 1);
    parts.remove(0)
}

/// All parts, of which each holds no more than was said, and those that are left as well.
fn all_made(part: RawPart) -> Vec<Part> {
    let paths: Vec<PartPath> = part.paths().collect();
    assert_eq!(part.num_parts(), paths.len());
    let mut left: Option<Box<dyn MakePart>> = Some(Box::new(part));
    let mut parts = Vec::new();
    while let Some(next) = left.take() {
        assert_eq!(*next.path(), paths[parts.len()]);
        let (most, num_left) = (next.most_bytes(), next.num_parts());
        let Made { part, rest } = next.make().unwrap();
        assert_eq!(part.path, paths[parts.len()]);
        assert!(part.memory_bytes() <= most, "{}", part.path);
        assert_eq!(
            rest.as_ref().map_or(0, |rest| rest.num_parts()),
            num_left - 1
        );
        parts.push(part);
        left = rest;
    }
    assert_eq!(parts.len(), paths.len());
    parts
}

/// What layers of all layouts are, small and large; the last may be recorded by a few units.
fn networks() -> Vec<Arc<NetworkLayers>> {
    let mut networks = Vec::new();
    for units in [None, Some(2)] {
        for (layout, shape) in [
            (Layout::Columns, &[1, 1][..]),
            (Layout::Columns, &[3, 70]),
            (Layout::Columns, &[300, 200]),
            (Layout::Rows, &[]),
            (Layout::Rows, &[5]),
            (Layout::Rows, &[1, 40_000]),
            (Layout::Rows, &[20_000, 1]),
            (Layout::Rows, &[32, 16, 3, 3]),
            (Layout::ByGroup { groups: 2 }, &[16, 24, 3, 3]),
        ] {
            networks.push(network(layout, shape, "linear", units));
        }
        networks.push(network(Layout::Rows, &[100, 64], "embedding", units));
    }
    networks
}

/// All that is read of a layer for a capture: 33 samples of its activations.
fn all_values(layers: &NetworkLayers) -> Vec<Values> {
    let layer = &layers.topology().layers()[0];
    let num_weights = (layer.num_units * layer.fan_in) as usize;
    let kinds = [
        TensorKind::Weights,
        TensorKind::Gradients,
        TensorKind::GradientsApplied,
        TensorKind::Moment1,
        TensorKind::Moment2,
    ];
    let mut all: Vec<Values> = Vec::new();
    for has_bias in [false, true] {
        all.extend(kinds.map(|kind| Values::Parameters {
            kind,
            layer: 0,
            weight: numbered(num_weights),
            bias: has_bias.then(|| numbered(layer.num_units as usize)),
        }));
    }
    let num_units = layers.activated(0).unwrap().num_units as usize;
    for samples in [SampleSet::HELD_OUT, SampleSet::train(5)] {
        all.push(Values::Activations {
            layer: 0,
            samples,
            values: numbered(33 * num_units),
        });
    }
    all
}

/// How values may be kept.
fn all_recorded() -> Vec<Recorded> {
    let raw = |samples| Some(ActivationDetail::Raw { samples });
    let mut all = Vec::new();
    for precision in [Precision::F32, Precision::F16] {
        for (weights, activations) in [
            (WeightDetail::Raw, raw(512)),
            (WeightDetail::Raw, raw(20)),
            (WeightDetail::Statistics, Some(ActivationDetail::Statistics)),
        ] {
            all.push(Recorded {
                weights: Some(weights),
                activations,
                precision,
                ..Recorded::DEFAULT
            });
        }
    }
    all
}

/// What it says that it holds is at least its rows, and the values as well where they are copied; and not
/// much more, where all of them become rows.
fn assert_bound(part: RawPart, value_bytes: u64, is_copied: bool, is_whole: bool) {
    let what = format!("{}, {value_bytes} bytes of values", part.path());
    let most = part.most_bytes();
    let row_bytes = made(part).memory_bytes();
    let held = match is_copied {
        true => value_bytes + row_bytes,
        false => value_bytes.max(row_bytes),
    };
    assert!(held <= most, "{what}: {most} bytes at most, and {held}");
    let allowed = 4 * held + PART_BYTES;
    assert!(
        !is_whole || most <= allowed,
        "{what}: {most} bytes for {held}"
    );
}

#[test]
fn a_part_holds_no_more_than_it_says_whatever_it_is_of() {
    for layers in networks() {
        let is_whole = layers.topology().layers()[0].recorded_units.is_none();
        let moves = layers.rows(0).is_by_unit() && is_whole;
        for recorded in all_recorded() {
            for values in all_values(&layers) {
                let (bytes, is_copied) = match &values {
                    Values::Parameters { weight, .. } => (bytes_of(weight), !moves),
                    Values::Activations { values, .. } => (bytes_of(values), true),
                    Values::Classifications(_) | Values::Logits(_) => {
                        unreachable!("a layer has none")
                    }
                };
                let part = part_of(&layers, &recorded, values);
                assert_bound(part, bytes, is_copied, is_whole);
            }
        }
        let layer = &layers.topology().layers()[0];
        for state in StateTensor::ALL {
            let tensor = LayerTensor {
                layer: 0,
                weight: numbered((layer.num_units * layer.fan_in) as usize),
                bias: Some(numbered(layer.num_units as usize)),
            };
            let bytes = bytes_of(&tensor.weight);
            let part = RawPart::of_state(place(), &layers, &mut whole(), (state, 9), tensor);
            assert_bound(part, bytes, !layers.rows(0).is_by_unit(), is_whole);
        }
    }
}

#[test]
fn gradients_and_moments_have_statistics_alone_where_that_is_asked_for() {
    let layers = network(Layout::Rows, &[2, 2], "linear", None);
    let recorded = Recorded {
        gradient_detail: WeightDetail::Statistics,
        ..Recorded::DEFAULT
    };
    for values in all_values(&layers) {
        let Values::Parameters { kind, .. } = values else {
            continue;
        };
        let part = part_of(&layers, &recorded, values);
        let rows = made(part).rows;
        let has_values = kind == TensorKind::Weights;
        let num_null = if has_values { 0 } else { 2 };
        assert_eq!(rows["weights"].null_count(), num_null, "{kind:?}");
        let lengths = rows["weight_l2"].as_primitive::<Float32Type>();
        assert_eq!(lengths.value(1), 13.0_f32.sqrt(), "{kind:?}");
    }
}

#[test]
fn so_do_classifications() {
    let layers = network(Layout::Rows, &[2, 2], "linear", None);
    for (num_samples, num_outputs, has_expected) in
        [(0, 3, false), (300, 10, false), (300, 4, true)]
    {
        let rows = Classifications {
            expected: has_expected.then(|| vec![0.5; num_samples * num_outputs]),
            target: vec![Some(1); num_samples],
            predicted: vec![None; num_samples],
            correct: vec![Some(true); num_samples],
            confidence: vec![Some(0.5); num_samples],
            loss: vec![0.25; num_samples],
            outputs: vec![1.5; num_samples * num_outputs],
            num_outputs,
        };
        let bytes = bytes_of(&rows.outputs) + rows.expected.as_ref().map_or(0, bytes_of);
        let values = Values::Classifications(rows);
        let part = part_of(&layers, &Recorded::DEFAULT, values);
        assert_eq!(
            part.path().to_string(),
            "classifications/epoch=3/step-96-r1-g2.parquet"
        );
        assert_bound(part, bytes, true, true);
    }
}

#[test]
fn logits_become_the_rows_of_what_is_worked_out_of_them() {
    let layers = network(Layout::Rows, &[2, 2], "linear", None);
    let values = |width: usize| TargetRows {
        values: (0..300 * width).map(|n| n as f32 / 500.0).collect(),
        width,
    };
    for (loss, num_outputs, targets) in [
        (
            Loss::SoftmaxCrossEntropy,
            10,
            Targets::Classes((0..300).map(|n| n % 10).collect()),
        ),
        (
            Loss::BinaryCrossEntropy,
            1,
            Targets::Soft((0..300).map(|n| (n % 2) as f32).collect()),
        ),
        (Loss::MultiLabelCrossEntropy, 4, Targets::Labels(values(4))),
        (Loss::MeanSquaredError, 4, Targets::Values(values(4))),
        (Loss::SoftmaxCrossEntropy, 0, Targets::Classes(Vec::new())),
    ] {
        let logits = Logits {
            loss,
            logits: (0..300 * num_outputs)
                .map(|n| ((n * n) as f32).sin())
                .collect(),
            targets,
        };
        let bytes = bytes_of(&logits.logits) + logits.targets.num_bytes();
        let part = |values| part_of(&layers, &Recorded::DEFAULT, values);
        let rows = logits.classify();
        let (part, of_rows) = (
            part(Values::Logits(logits)),
            part(Values::Classifications(rows)),
        );
        let most = part.most_bytes();
        let (made, expected) = (made(part), made(of_rows));
        assert_eq!(made.path, expected.path);
        assert_eq!(made.rows, expected.rows, "{loss:?}");
        let held = bytes + made.memory_bytes();
        assert!(held <= most && most <= 4 * held + PART_BYTES, "{loss:?}");
    }
}

/// Where in memory the values of the rows' lists begin.
fn list_values(rows: &RecordBatch) -> *const f32 {
    let lists = rows["weights"].as_list::<i32>();
    lists
        .values()
        .as_primitive::<Float32Type>()
        .values()
        .as_ptr()
}

/// PyTorch's linear layers are `[out, in]`.
#[test]
fn what_is_in_order_already_is_not_copied() {
    for (layout, is_copied) in [(Layout::Rows, false), (Layout::Columns, true)] {
        let layers = network(layout, &[30, 20], "linear", None);
        let weight = numbered(600);
        let before = weight.as_ptr();
        let values = Values::Parameters {
            kind: TensorKind::Weights,
            layer: 0,
            weight,
            bias: None,
        };
        let part = part_of(&layers, &Recorded::DEFAULT, values);
        let rows = made(part).rows;
        assert_eq!(list_values(&rows) != before, is_copied, "{layout:?}");
    }
}

#[test]
fn parts_lie_where_their_table_and_number_say() {
    let layers = network(Layout::Columns, &[2, 3], "linear", None);
    let paths = |max_part_bytes| -> Vec<String> {
        let mut split = Split::new(MaxPartBytes(max_part_bytes));
        let of_capture =
            |values| split_part_of(&layers, &Recorded::DEFAULT, &mut split, values).unwrap();
        let parts: Vec<RawPart> = all_values(&layers)
            .into_iter()
            .skip(5)
            .map(of_capture)
            .collect();
        let paths = parts.iter().flat_map(RawPart::paths);
        paths.map(|path| path.to_string()).collect()
    };
    let expected = [
        "weights/epoch=3/layer=L_output/step-96-r1-g2.parquet",
        "gradients/epoch=3/layer=L_output/step-96-r1-g2.parquet",
        "gradients_applied/epoch=3/layer=L_output/step-96-r1-g2.parquet",
        "moments/epoch=3/layer=L_output/step-96-r1-g2.parquet",
        "moments/epoch=3/layer=L_output/step-96-r1-g2-1.parquet",
        "activations/epoch=3/layer=L_output/step-96-r1-g2.parquet",
        "activations/epoch=3/layer=L_output/step-96-r1-g2-1.parquet",
    ];
    assert_eq!(paths(1 << 20), expected);
    // Two of three units with 2 weights each, and one with the samples of a batch.
    let expected = [
        "weights/epoch=3/layer=L_output/step-96-r1-g2.parquet",
        "weights/epoch=3/layer=L_output/step-96-r1-g2-1.parquet",
        "gradients/epoch=3/layer=L_output/step-96-r1-g2.parquet",
        "gradients/epoch=3/layer=L_output/step-96-r1-g2-1.parquet",
        "gradients_applied/epoch=3/layer=L_output/step-96-r1-g2.parquet",
        "gradients_applied/epoch=3/layer=L_output/step-96-r1-g2-1.parquet",
        "moments/epoch=3/layer=L_output/step-96-r1-g2.parquet",
        "moments/epoch=3/layer=L_output/step-96-r1-g2-1.parquet",
        "moments/epoch=3/layer=L_output/step-96-r1-g2-2.parquet",
        "moments/epoch=3/layer=L_output/step-96-r1-g2-3.parquet",
        "activations/epoch=3/layer=L_output/step-96-r1-g2.parquet",
        "activations/epoch=3/layer=L_output/step-96-r1-g2-1.parquet",
        "activations/epoch=3/layer=L_output/step-96-r1-g2-2.parquet",
        "activations/epoch=3/layer=L_output/step-96-r1-g2-3.parquet",
        "activations/epoch=3/layer=L_output/step-96-r1-g2-4.parquet",
        "activations/epoch=3/layer=L_output/step-96-r1-g2-5.parquet",
    ];
    assert_eq!(paths(16), expected);
    let compared = Values::Parameters {
        kind: TensorKind::Checked,
        layer: 0,
        weight: numbered(6),
        bias: None,
    };
    let recorded = &Recorded::DEFAULT;
    assert!(split_part_of(&layers, recorded, &mut whole(), compared).is_none());
}

/// The rows of a part, or of all that a layer was split into, and into how many.
fn rows_of(parts: Vec<Part>) -> (RecordBatch, usize) {
    let rows: Vec<RecordBatch> = parts.iter().map(|part| part.rows.clone()).collect();
    let all = concat_batches(&rows[0].schema(), &rows).unwrap();
    (all, rows.len())
}

#[test]
fn the_parts_of_a_layer_that_is_split_have_the_rows_of_one_that_is_not() {
    let mut num_split = 0;
    for layers in networks() {
        for recorded in all_recorded() {
            let both = all_values(&layers).into_iter().zip(all_values(&layers));
            for (values, again) in both {
                let (expected, num_parts) = rows_of(all_made(part_of(&layers, &recorded, values)));
                assert_eq!(num_parts, 1);
                let mut split = Split::new(MaxPartBytes(3000));
                let part = split_part_of(&layers, &recorded, &mut split, again);
                let (rows, num_parts) = rows_of(all_made(part.unwrap()));
                assert_eq!(rows, expected);
                num_split += usize::from(num_parts > 1);
            }
        }
        let layer = &layers.topology().layers()[0];
        let state = |max_part_bytes| {
            let tensor = LayerTensor {
                layer: 0,
                weight: numbered((layer.num_units * layer.fan_in) as usize),
                bias: Some(numbered(layer.num_units as usize)),
            };
            let mut split = Split::new(MaxPartBytes(max_part_bytes));
            let state = (StateTensor::Moment1, 9);
            let part = RawPart::of_state(place(), &layers, &mut split, state, tensor);
            rows_of(all_made(part)).0
        };
        assert_eq!(state(3000), state(u64::MAX));
    }
    assert!(num_split > 100, "{num_split}");
}

#[test]
fn what_is_split_holds_its_values_and_the_rows_of_one_part() {
    // 4 MB of weights.
    for layout in [Layout::Columns, Layout::Rows] {
        let layers = network(layout, &[1000, 1000], "linear", None);
        let values = Values::Parameters {
            kind: TensorKind::Weights,
            layer: 0,
            weight: numbered(1_000_000),
            bias: None,
        };
        let mut split = Split::new(MaxPartBytes(400_000));
        let part = split_part_of(&layers, &Recorded::DEFAULT, &mut split, values);
        let part = part.unwrap();
        let most = part.most_bytes();
        assert!((4_400_000..4_500_000).contains(&most), "{most}");
        let parts = all_made(part);
        assert_eq!(parts.len(), 10);
        assert!(parts.iter().all(|part| part.memory_bytes() < 450_000));
    }
}

#[test]
fn values_that_are_not_the_layers_are_an_error_that_says_so() {
    let layers = network(Layout::Columns, &[2, 3], "linear", None);
    let error = |values| {
        let part = part_of(&layers, &Recorded::DEFAULT, values);
        match Box::new(part).make() {
            Ok(_) => panic!("these are no values of the layer"),
            Err(error) => error.to_string(),
        }
    };
    let parameters = |num_weights, num_biases| Values::Parameters {
        kind: TensorKind::Weights,
        layer: 0,
        weight: numbered(num_weights),
        bias: Some(numbered(num_biases)),
    };
    assert_eq!(
        error(parameters(5, 3)),
        "layer L_output has 3 units with 2 weights each, and 5 were read"
    );
    assert_eq!(
        error(parameters(6, 2)),
        "layer L_output has 3 units, and 2 biases were read"
    );
    let activations = Values::Activations {
        layer: 0,
        samples: SampleSet::HELD_OUT,
        values: numbered(10),
    };
    assert_eq!(
        error(activations),
        "layer L_output has 3 units, and 10 activations were read: these are not of whole samples"
    );
}

/// What the parts of a layer's weights and activations, in that order, have counted, as a file of histograms.
fn counted(
    values: Vec<Values>,
    layers: &Arc<NetworkLayers>,
    max_part_bytes: u64,
    num_bins: u32,
) -> Part {
    let mut split = Split::new(MaxPartBytes(max_part_bytes));
    let mut histograms = Histograms::new(NonZeroU32::new(num_bins));
    let recorded = &Recorded::DEFAULT;
    let parts: Vec<RawPart> = values
        .into_iter()
        .filter_map(|values| {
            RawPart::of_capture(
                place(),
                layers,
                recorded,
                &mut split,
                &mut histograms,
                values,
            )
        })
        .collect();
    for part in parts {
        all_made(part);
    }
    let mut parts: Vec<_> = histograms.parts(place(), layers).collect();
    assert_eq!(parts.len(), 1);
    let part: Box<dyn MakePart> = Box::new(parts.remove(0));
    let most = part.most_bytes();
    let made = part.make().unwrap();
    assert!(made.rest.is_none());
    assert!(made.part.memory_bytes() <= most);
    made.part
}

#[test]
fn a_histogram_is_of_all_values_of_a_layer_however_it_is_split_and_whichever_units_are_recorded() {
    for units in [None, Some(1)] {
        let layers = network(Layout::Columns, &[2, 3], "linear", units);
        let values = || {
            let weights = Values::Parameters {
                kind: TensorKind::Weights,
                layer: 0,
                weight: vec![0.0, 1.0, 2.0, 3.0, 4.0, f32::NAN],
                bias: None,
            };
            let activations = |samples| Values::Activations {
                layer: 0,
                samples,
                values: vec![8.0; 6],
            };
            let gradients = Values::Parameters {
                kind: TensorKind::Gradients,
                layer: 0,
                weight: vec![9.0; 6],
                bias: None,
            };
            vec![
                activations(SampleSet::HELD_OUT),
                weights,
                // None of these is counted.
                activations(SampleSet::train(1)),
                gradients,
            ]
        };
        let part = counted(values(), &layers, 1 << 20, 4);
        let path = "histograms/epoch=3/layer=L_output/step-96-r1-g2.parquet";
        assert_eq!(part.path.to_string(), path);
        let of: Vec<_> = part.rows["of"]
            .as_string::<i32>()
            .iter()
            .flatten()
            .collect();
        assert_eq!(of, ["activations", "weights"]);
        let list = |column: &str, row| {
            let values = part.rows[column].as_list::<i32>().value(row);
            values.as_primitive::<Float32Type>().values().to_vec()
        };
        assert_eq!(list("edges", 1), [0.0, 1.0, 2.0, 3.0, 4.0]);
        assert_eq!(list("counts", 1), [1.0, 1.0, 1.0, 2.0]);
        assert_eq!(list("counts", 0), [0.0, 0.0, 0.0, 6.0]);
        assert_eq!(counted(values(), &layers, 8, 4).rows, part.rows);
    }
}

#[test]
fn of_a_layer_without_a_finite_value_there_is_no_histogram() {
    let layers = network(Layout::Columns, &[2, 3], "linear", None);
    let values = Values::Parameters {
        kind: TensorKind::Weights,
        layer: 0,
        weight: vec![f32::NAN; 6],
        bias: None,
    };
    assert_eq!(
        counted(vec![values], &layers, 1 << 20, 4).rows.num_rows(),
        0
    );
}

#[test]
fn histograms_of_many_bins_hold_no_more_than_was_said() {
    let layers = network(Layout::Columns, &[2, 3], "linear", None);
    let values = Values::Parameters {
        kind: TensorKind::Weights,
        layer: 0,
        weight: vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0],
        bias: None,
    };
    assert_eq!(
        counted(vec![values], &layers, 1 << 20, 70_000)
            .rows
            .num_rows(),
        1
    );
}

/// As where the sink has failed meanwhile: why that was is said by what failed.
#[test]
fn what_waits_for_a_histogram_ends_where_nobody_counts() {
    let layers = network(Layout::Columns, &[2, 3], "linear", None);
    let values = Values::Parameters {
        kind: TensorKind::Weights,
        layer: 0,
        weight: numbered(6),
        bias: None,
    };
    let mut histograms = Histograms::new(NonZeroU32::new(4));
    let recorded = &Recorded::DEFAULT;
    let part = RawPart::of_capture(
        place(),
        &layers,
        recorded,
        &mut whole(),
        &mut histograms,
        values,
    );
    drop(part);
    let waiting = histograms.parts(place(), &layers).next().unwrap();
    let waiting: Box<dyn MakePart> = Box::new(waiting);
    assert_eq!(waiting.make().unwrap().part.rows.num_rows(), 0);
}
