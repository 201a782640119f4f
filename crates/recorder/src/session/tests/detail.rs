//! How much is recorded of weights and activations.

use std::num::NonZeroU32;

use burn::backend::Flex;
use capture::{Phases, Precision, WeightDetail, export};

use super::*;
use crate::model::Network;

#[test]
fn half_precision_takes_less_room() {
    let dir = tempfile::tempdir().unwrap();
    let record = |name: &str, precision| {
        let path = dir.path().join(name);
        let recorded = Recorded {
            precision,
            ..EVERYTHING
        };
        let mut options = options(&path, Some(recorded));
        // As `recorder train` has it.
        options.train.hidden = vec![128, 64];
        let (parameters, summary) = final_parameters(&options);
        let sizes = summary.recorded.unwrap().1.sink.by_table;
        let bytes = |table: Table| sizes[table as usize].1 as f64;
        let run = RunDir::open(&path).unwrap();
        (
            run,
            parameters,
            [Table::Weights, Table::Activations].map(bytes),
        )
    };
    let (_, _, single) = record("single", Precision::F32);
    let (run, parameters, half) = record("half", Precision::F16);
    let ratios = [half[0] / single[0], half[1] / single[1]];
    assert!(ratios[0] < 0.7 && ratios[1] < 0.7, "{ratios:?}");

    assert_eq!(run.info().config["record"]["precision"], "f16");
    let rows = read_part(run.path(), Table::Weights, 2, Some("L_hidden_1")).unwrap();
    let found = rows["weights"].as_list::<i32>().values();
    let found = found.as_primitive::<Float32Type>().values();
    let trained = &parameters.layers[1].weights;
    let rounded: Vec<f32> = trained
        .iter()
        .map(|&weight| half::f16::from_f32(weight).to_f32())
        .collect();
    assert_eq!(found, &rounded[..]);
    let largest = rows["weight_max"].as_primitive::<Float32Type>().value(0);
    assert_eq!(
        largest,
        trained[..128].iter().copied().fold(f32::MIN, f32::max)
    );

    let replayed = replay(&run, CaptureChoice::epoch(Epoch(2))).unwrap();
    assert_eq!(replayed.precision, Precision::F16);
    assert!(!replayed.different.is_empty());
}

#[test]
fn histograms_are_of_all_values_of_a_layer() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    let recorded = Recorded {
        histograms: NonZeroU32::new(4),
        weights: Some(WeightDetail::Statistics),
        units: NonZeroU32::new(2),
        ..EVERYTHING
    };
    let (parameters, _) = final_parameters(&options(&path, Some(recorded)));
    let rows = read_part(&path, Table::Histograms, 2, Some("L_hidden_1")).unwrap();
    let of: Vec<_> = rows["of"].as_string::<i32>().iter().flatten().collect();
    assert_eq!(of, ["weights", "activations"]);
    let list = |column: &str, row| {
        let values = rows[column].as_list::<i32>().value(row);
        values.as_primitive::<Float32Type>().values().to_vec()
    };
    let sum = |row| list("counts", row).iter().sum::<f32>();
    // 12 units with 24 weights each, and 297 samples.
    assert_eq!((sum(0), sum(1)), (12.0 * 24.0, 12.0 * 297.0));
    let weights = &parameters.layers[1].weights;
    let edges = list("edges", 0);
    let least = weights.iter().copied().fold(f32::MAX, f32::min);
    let largest = weights.iter().copied().fold(f32::MIN, f32::max);
    assert_eq!((edges[0], edges[4]), (least, largest));
    let upper_half = weights.iter().filter(|&&w| w >= edges[2]).count() as f32;
    let counts = list("counts", 0);
    assert_eq!(counts[2] + counts[3], upper_half);
    // After a ReLU.
    assert_eq!(list("edges", 1)[0], 0.0);
}

#[test]
fn a_training_batch_is_recorded_as_the_captured_network_sees_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    let both: Phases = "eval,train".parse().unwrap();
    let recorded = Recorded {
        phases: both,
        ..EVERYTHING
    };
    let mut options = options(&path, Some(recorded));
    options.record_initial = true;
    let (parameters, _) = final_parameters(&options);
    let run = RunDir::open(&path).unwrap();
    assert_eq!(run.info().config["record"]["phases"], "eval,train");
    // Nothing else is changed by it.
    let without = dir.path().join("without");
    let (others, _) = final_parameters(&self::options(&without, Some(EVERYTHING)));
    assert_eq!(bits(&parameters), bits(&others));

    let catalog = Catalog::load(&run).unwrap();
    let files = |epoch: i32, layer: &str| {
        let table = Table::Activations.name();
        let files = catalog.select(table, |e, l| e == epoch && l == Some(layer));
        files
            .into_iter()
            .map(|file| catalog.file(file).path.to_owned())
    };
    let initial: Vec<_> = files(-1, "L_input").collect();
    assert_eq!(initial.len(), 2);
    let path = files(2, "L_output").find(|path| path.ends_with("-1.parquet"));
    let file = std::fs::File::open(run.path().join(path.unwrap())).unwrap();
    let mut rows = ParquetRecordBatchReaderBuilder::try_new(file)
        .unwrap()
        .build()
        .unwrap();
    let rows = rows.next().unwrap().unwrap();
    let phases = rows["phase"].as_string::<i32>();
    assert!(phases.iter().all(|phase| phase == Some("train")));
    assert_eq!(rows["batch"].as_primitive::<Int32Type>().values(), &[0; 10]);

    // The logits of the epoch's first 64 samples, by the weights at its end.
    let dataset = Dataset::load(DatasetKind::Digits, options.train.seed, 64).unwrap();
    let batch = dataset
        .train_batches(options.train.seed, Epoch(2), 64)
        .next()
        .unwrap();
    let config = options.train.model(&dataset).unwrap();
    let device = Default::default();
    let model = Network::<Flex>::from_parameters(&config, &parameters, &device).unwrap();
    let inputs = burn::tensor::TensorData::new(batch.inputs_of(0..64).to_vec(), [64, 64]);
    let logits = model.forward(burn::tensor::Tensor::from_data(inputs, &device));
    let logits: Vec<f32> = logits.into_data().into_vec().unwrap();
    for unit in 0..10 {
        let recorded = rows["activations"].as_list::<i32>().value(unit);
        let expected: Vec<f32> = logits.iter().skip(unit).step_by(10).copied().collect();
        assert_eq!(
            recorded.as_primitive::<Float32Type>().values(),
            &expected[..]
        );
    }
}

#[test]
fn of_wide_layers_some_units_are_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    let some = Recorded {
        units: NonZeroU32::new(11),
        ..EVERYTHING
    };
    let (parameters, _) = final_parameters(&options(&path, Some(some)));
    let run = RunDir::open(&path).unwrap();
    assert_eq!(run.info().config["record"]["units"], 11);
    for (layer, parameters) in run.info().layers.layers().iter().zip(&parameters.layers) {
        let fan_in = layer.fan_in as usize;
        // 24, 12 and 10 units.
        assert_eq!(layer.num_recorded_units(), layer.num_units.min(11));
        for table in [Table::Weights, Table::Activations] {
            let rows = read_part(&path, table, 2, Some(layer.layer.as_str())).unwrap();
            let units: Vec<i32> = layer.units().map(u32::cast_signed).collect();
            assert_eq!(
                rows["unit"].as_primitive::<Int32Type>().values(),
                &units[..]
            );
        }
        let rows = read_part(&path, Table::Weights, 2, Some(layer.layer.as_str())).unwrap();
        for (row, unit) in layer.units().enumerate() {
            let found = rows["weights"].as_list::<i32>().value(row);
            let expected = &parameters.weights[unit as usize * fan_in..][..fan_in];
            assert_eq!(found.as_primitive::<Float32Type>().values(), expected);
        }
    }

    let partial =
        "layer L_input was recorded in part: 11 of its 24 units, as the run was told (--units)";
    let error = replay(&run, CaptureChoice::epoch(Epoch(2)))
        .unwrap_err()
        .to_string();
    assert_eq!(error, partial);
    let out = dir.path().join("out.safetensors");
    let error = export(&run, CaptureChoice::epoch(Epoch(2)), &out, false).unwrap_err();
    assert_eq!(error.to_string(), partial);
}
