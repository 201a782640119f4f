use std::sync::Arc;

use arrow::array::Int32Array;
use arrow::compute::{concat_batches, take_record_batch};

use super::*;
use crate::testing::{HIDDEN, label, layer_weights, lists, resume_rows, topology, weights_rows};

fn rows_of() -> RecordBatch {
    layer_weights(1, HIDDEN).1
}

/// What is wrong with rows as those of a table's file, given in two batches.
fn wrong(table: Table, rows: &RecordBatch) -> Option<(String, String)> {
    let mut of_units = UnitRows::of(table, &label(HIDDEN), &topology()).unwrap();
    let middle = rows.num_rows() / 2;
    let first = of_units.check(&rows.slice(0, middle));
    let second = of_units.check(&rows.slice(middle, rows.num_rows() - middle));
    first.and(second).and_then(|()| of_units.end()).err()
}

fn picked(rows: &RecordBatch, picked: &[i32]) -> RecordBatch {
    take_record_batch(rows, &Int32Array::from(picked.to_vec())).unwrap()
}

#[test]
fn each_unit_has_one_row_of_its_neuron_with_its_weights() {
    let rows = rows_of();
    for table in [Table::Weights, Table::Gradients, Table::GradientsApplied] {
        assert_eq!(wrong(table, &rows), None);
        for (units, expected, found) in [
            (&[0, 1, 2][..], "a row for each of 4 units", "3 rows"),
            (&[0, 1, 3][..], "unit 2 in row 2", "unit 3 in row 2"),
            (&[0, 1, 1, 2, 3][..], "unit 2 in row 2", "unit 1 in row 2"),
            (
                &[0, 1, 2, 3, 3][..],
                "a row for each of 4 units",
                "unit 3 in row 4",
            ),
            (&[][..], "a row for each of 4 units", "0 rows"),
        ] {
            let told = wrong(table, &picked(&rows, units)).unwrap();
            assert_eq!(
                (told.0.as_str(), told.1.as_str()),
                (expected, found),
                "{units:?}"
            );
        }
    }
    // A neuron that is not its unit's.
    let shifted = weights_rows(1, 1, lists(&vec![vec![0.5; 3]; 4], None));
    let told = wrong(Table::Weights, &shifted).unwrap();
    assert_eq!(
        told,
        ("neuron 0 for unit 0".to_owned(), "neuron 1".to_owned())
    );
    // A list that is too short, which is no matter where there is none.
    let mut weights = vec![vec![0.5; 3]; 4];
    weights[2].pop();
    let short = weights_rows(1, 0, lists(&weights, None));
    let told = wrong(Table::Weights, &short).unwrap();
    assert_eq!(
        told,
        ("rows of 3 weights".to_owned(), "a row of 2".to_owned())
    );
    let null = weights_rows(1, 0, lists(&weights, Some(vec![true, true, false, true])));
    assert_eq!(wrong(Table::Weights, &null), None);
}

#[test]
fn of_tables_with_several_rows_a_neuron_the_neuron_and_the_weights_are_told() {
    let rows = resume_rows(1, "parameter");
    let twice = concat_batches(&rows.schema(), [&rows, &rows]).unwrap();
    assert_eq!(wrong(Table::Resume, &twice), None);
    let mut columns = rows.columns().to_vec();
    columns[2] = Arc::new(Int32Array::from(vec![0, 1, 2, 4]));
    let other = RecordBatch::try_new(rows.schema(), columns).unwrap();
    assert!(wrong(Table::Resume, &other).is_some());
    // Rows that are by no neuron are those of no unit.
    assert!(UnitRows::of(Table::Metrics, &label(HIDDEN), &topology()).is_none());
    assert!(UnitRows::of(Table::Weights, &label("L_other"), &topology()).is_none());
}

#[test]
fn of_units_that_are_not_all_recorded_those_have_rows() {
    let mut layers = topology().layers().to_vec();
    layers[0].recorded_units = Some(vec![1, 3]);
    let topology = Topology::try_new(layers).unwrap();
    let told = |units: &[i32]| {
        let mut of_units = UnitRows::of(Table::Weights, &label(HIDDEN), &topology).unwrap();
        let checked = of_units.check(&picked(&rows_of(), units));
        checked.and_then(|()| of_units.end()).err()
    };
    assert_eq!(told(&[1, 3]), None);
    assert!(told(&[0, 1]).is_some());
    assert!(told(&[1]).is_some());
}
