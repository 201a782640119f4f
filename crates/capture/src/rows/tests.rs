use arrow::array::{Array, AsArray};
use arrow::datatypes::{Float32Type, Int32Type, Int64Type};
use trace::{Epoch, LayerLabel, Source, SourceRange, Step};

use super::*;

fn key() -> RowKey {
    RowKey {
        id: CaptureId {
            epoch: Epoch(3),
            step: Step(96),
        },
        rank: Rank(0),
    }
}

fn layer(num_units: u32, fan_in: u32) -> Layer {
    Layer {
        layer_index: 1,
        layer: LayerLabel::try_new("L_hidden_1").unwrap(),
        module_path: "layers.1".to_owned(),
        kind: "linear".to_owned(),
        shape: vec![num_units.into(), fan_in.into()],
        fan_in,
        num_units,
        first_neuron: 10,
        activation: None,
        trainable: true,
        source: Some(vec![SourceRange::all(Source::Input, fan_in)]),
        tensors: Vec::new(),
        recorded_units: None,
    }
}

fn all_units(num_units: u32) -> Vec<u32> {
    (0..num_units).collect()
}

fn floats(batch: &RecordBatch, column: &str) -> Vec<Option<f32>> {
    batch[column].as_primitive::<Float32Type>().iter().collect()
}

#[test]
fn a_row_of_weights_is_a_neuron_with_its_bias_and_statistics() {
    let batch = weights(
        key(),
        &layer(2, 2),
        vec![3.0, 4.0, -1.0, f32::NAN],
        Some(vec![0.5, f32::INFINITY]),
        Some(Precision::F32),
    );
    assert_eq!(
        batch["step"].as_primitive::<Int64Type>().values(),
        &[96, 96]
    );
    assert_eq!(
        batch["neuron"].as_primitive::<Int32Type>().values(),
        &[10, 11]
    );
    assert_eq!(batch["unit"].as_primitive::<Int32Type>().values(), &[0, 1]);
    assert_eq!(floats(&batch, "bias")[0], Some(0.5));
    assert_eq!(floats(&batch, "weight_l2"), [Some(5.0), Some(1.0)]);
    assert_eq!(floats(&batch, "weight_std"), [Some(0.5), Some(0.0)]);
    assert_eq!(floats(&batch, "weight_median"), [Some(3.5), Some(-1.0)]);
    assert_eq!(floats(&batch, "weight_l1"), [Some(7.0), Some(1.0)]);
    let zeros = batch["weight_zeros"].as_primitive::<Int32Type>();
    assert_eq!(zeros.values(), &[0, 0]);
    // The NaN weight and the infinite bias.
    assert_eq!(
        batch["nonfinite"].as_primitive::<Int32Type>().values(),
        &[0, 2]
    );
    let list = batch["weights"].as_list::<i32>().value(0);
    assert_eq!(list.as_primitive::<Float32Type>().values(), &[3.0, 4.0]);
}

#[test]
fn activations_are_by_neuron_in_the_order_of_the_samples() {
    // Three samples of two units.
    let values = [1.0, 0.0, 2.0, 0.0, 6.0, 9.0];
    let batch = activations(
        key(),
        &layer(2, 4),
        &all_units(2),
        SampleSet::HELD_OUT,
        values.to_vec().into(),
        Some(2),
        Precision::F32,
    );
    let lists = batch["activations"].as_list::<i32>();
    assert_eq!(
        lists.value(0).as_primitive::<Float32Type>().values(),
        &[1.0, 2.0]
    );
    assert_eq!(
        lists.value(1).as_primitive::<Float32Type>().values(),
        &[0.0, 0.0]
    );
    // Statistics cover all three samples.
    assert_eq!(floats(&batch, "activation_mean"), [Some(3.0), Some(3.0)]);
    assert_eq!(floats(&batch, "activation_median"), [Some(2.0), Some(0.0)]);
    assert_eq!(floats(&batch, "activation_max"), [Some(6.0), Some(9.0)]);
    assert_eq!(floats(&batch, "activation_l1"), [Some(9.0), Some(9.0)]);
    let l2 = Some(41f32.sqrt());
    assert_eq!(floats(&batch, "activation_l2"), [l2, Some(9.0)]);
    assert_eq!(batch["zeros"].as_primitive::<Int64Type>().values(), &[0, 2]);
    assert_eq!(
        batch["num_samples"].as_primitive::<Int64Type>().values(),
        &[3, 3]
    );

    let all = activations(
        key(),
        &layer(2, 4),
        &all_units(2),
        SampleSet::HELD_OUT,
        values.to_vec().into(),
        Some(512),
        Precision::F32,
    );
    assert_eq!(all["activations"].as_list::<i32>().value(1).len(), 3);
    let none = activations(
        key(),
        &layer(2, 4),
        &all_units(2),
        SampleSet::HELD_OUT,
        values.to_vec().into(),
        None,
        Precision::F32,
    );
    assert_eq!(none["activations"].null_count(), 2);
    assert_eq!(floats(&none, "activation_min"), [Some(1.0), Some(0.0)]);
}

#[test]
fn without_a_bias_its_column_is_null() {
    let batch = weights(key(), &layer(1, 1), vec![1.0], None, Some(Precision::F32));
    assert_eq!(floats(&batch, "bias"), [None]);
}

#[test]
fn statistics_stand_in_place_of_weights() {
    let values = vec![-3.0, 0.0, 1.0, -0.0, 0.0, 5.0];
    let bias = Some(vec![0.5, 1.5]);
    let batch = weights(key(), &layer(2, 3), values, bias, None);
    assert_eq!(batch["weights"].null_count(), 2);
    assert_eq!(floats(&batch, "bias"), [Some(0.5), Some(1.5)]);
    assert_eq!(floats(&batch, "weight_min"), [Some(-3.0), Some(0.0)]);
    assert_eq!(floats(&batch, "weight_median"), [Some(0.0), Some(0.0)]);
    assert_eq!(floats(&batch, "weight_l1"), [Some(4.0), Some(5.0)]);
    let zeros = batch["weight_zeros"].as_primitive::<Int32Type>();
    assert_eq!(zeros.values(), &[1, 2]);
}

#[test]
fn of_a_subset_of_units_the_rows_keep_their_ids() {
    let mut layer = layer(4, 2);
    layer.recorded_units = Some(vec![1, 3]);
    let values = vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0];
    let bias = Some(vec![10.0, 11.0, 12.0, 13.0]);
    let batch = weights(key(), &layer, values, bias, Some(Precision::F32));
    let ids = |batch: &RecordBatch, column: &str| {
        let ids = batch[column].as_primitive::<Int32Type>();
        ids.values().to_vec()
    };
    assert_eq!(ids(&batch, "neuron"), [11, 13]);
    assert_eq!(ids(&batch, "unit"), [1, 3]);
    assert_eq!(floats(&batch, "bias"), [Some(11.0), Some(13.0)]);
    assert_eq!(floats(&batch, "weight_max"), [Some(3.0), Some(7.0)]);
    let list = batch["weights"].as_list::<i32>().value(1);
    assert_eq!(list.as_primitive::<Float32Type>().values(), &[6.0, 7.0]);

    // Two samples of four units.
    let values = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0];
    let batch = activations(
        key(),
        &layer,
        &[1, 3],
        SampleSet::HELD_OUT,
        values.to_vec().into(),
        Some(512),
        Precision::F32,
    );
    assert_eq!(ids(&batch, "neuron"), [11, 13]);
    assert_eq!(ids(&batch, "unit"), [1, 3]);
    assert_eq!(floats(&batch, "activation_mean"), [Some(3.0), Some(5.0)]);
    let list = batch["activations"].as_list::<i32>().value(0);
    assert_eq!(list.as_primitive::<Float32Type>().values(), &[1.0, 5.0]);
}

#[test]
fn values_are_rounded_and_statistics_are_not() {
    let third = 1.0f32 / 3.0;
    let half_third = half::f16::from_f32(third).to_f32();
    assert_ne!(third, half_third);
    let lists = Some(Precision::F16);
    let batch = weights(key(), &layer(1, 1), vec![third], Some(vec![third]), lists);
    let list = batch["weights"].as_list::<i32>().value(0);
    assert_eq!(list.as_primitive::<Float32Type>().values(), &[half_third]);
    assert_eq!(floats(&batch, "weight_max"), [Some(third)]);
    assert_eq!(floats(&batch, "bias"), [Some(third)]);

    for kept in [1, 2] {
        let values = [third, third];
        let batch = activations(
            key(),
            &layer(1, 1),
            &all_units(1),
            SampleSet::HELD_OUT,
            values.to_vec().into(),
            Some(kept),
            Precision::F16,
        );
        let list = batch["activations"].as_list::<i32>().value(0);
        let list = list.as_primitive::<Float32Type>();
        assert_eq!(list.values(), &vec![half_third; kept][..]);
        assert_eq!(floats(&batch, "activation_median"), [Some(third)]);
    }
}

#[test]
fn training_resumes_from_all_units() {
    let mut layer = layer(3, 1);
    layer.recorded_units = Some(vec![1]);
    let values = vec![0.5, 1.5, 2.5];
    let batch = resume(
        key(),
        &layer,
        &[0, 1, 2],
        StateTensor::Parameter,
        96,
        values,
        None,
    );
    let ids = |column: &str| batch[column].as_primitive::<Int32Type>().values().to_vec();
    assert_eq!(ids("unit"), [0, 1, 2]);
    assert_eq!(ids("neuron"), [10, 11, 12]);
    let lists = batch["weights"].as_list::<i32>();
    let all = lists.values().as_primitive::<Float32Type>();
    assert_eq!(all.values(), &[0.5, 1.5, 2.5]);
}

#[test]
fn rows_of_a_training_batch_say_which() {
    let layer = layer(2, 4);
    let (values, batch) = ([1.0, 2.0], SampleSet::train(17));
    let rows = activations(
        key(),
        &layer,
        &[0, 1],
        batch,
        values.to_vec().into(),
        None,
        Precision::F32,
    );
    let phases = rows["phase"].as_string::<i32>();
    assert_eq!(
        phases.iter().flatten().collect::<Vec<_>>(),
        ["train", "train"]
    );
    let batches = rows["batch"].as_primitive::<Int32Type>();
    assert_eq!(batches.values(), &[17, 17]);
}

#[test]
fn the_memory_of_activations_is_used_again_for_all_units_and_for_some() {
    let mut layer = layer(4, 2);
    for units in [None, Some(vec![1, 3])] {
        layer.recorded_units = units;
        let num_units = layer.num_recorded_units() as usize;
        let statistics = |num_samples: usize| {
            let values = vec![0.5; 4 * num_samples];
            activations(
                key(),
                &layer,
                &layer.units().collect::<Vec<u32>>(),
                SampleSet::HELD_OUT,
                values.into(),
                None,
                Precision::F32,
            );
            let kept = BY_UNIT.take();
            let at = (kept.as_ptr(), kept.capacity());
            BY_UNIT.set(kept);
            at
        };
        BY_UNIT.take();
        let first = statistics(100);
        assert_eq!(first.1, 100 * num_units);
        assert_eq!(statistics(100), first);
        assert_eq!(statistics(7), first);
        // What is larger than usual is given back.
        assert_eq!(statistics(MOST_VALUES_BY_UNIT / num_units + 1).1, 0);
    }
}
