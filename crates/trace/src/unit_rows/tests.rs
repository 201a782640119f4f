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
    first.and(second).and_then(|()| whole(of_units)).err()
}

/// Whether one file has all units.
fn whole(of_units: UnitRows) -> Result<(), (String, String)> {
    let table_has_all = UnitRows {
        layer: of_units.layer.clone(),
        rows: Vec::new(),
        ..of_units
    };
    for rows in of_units.end()? {
        let checked = table_has_all.check_whole(&[rows.units]);
        checked.map_err(|(_, expected, found)| (expected, found))?;
    }
    Ok(())
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
            (
                &[0, 1, 2][..],
                "a row for each of 4 units",
                "none of unit 3",
            ),
            (
                &[2, 3][..],
                "a row for each of 4 units",
                "none of units 0 to 1",
            ),
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
    let both = concat_batches(&rows.schema(), [&rows, &resume_rows(1, "moment_1")]).unwrap();
    assert_eq!(wrong(Table::Resume, &both), None);
    let twice = concat_batches(&rows.schema(), [&rows, &rows]).unwrap();
    let expected = "a row for each of 4 units".to_owned();
    let found = "unit 0 in row 4".to_owned();
    assert_eq!(wrong(Table::Resume, &twice), Some((expected, found)));
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
        checked.and_then(|()| whole(of_units)).err()
    };
    assert_eq!(told(&[1, 3]), None);
    assert!(told(&[0, 1]).is_some());
    assert!(told(&[1]).is_some());
}

#[test]
fn files_of_a_split_layer_have_each_unit_once_and_in_order() {
    let of_units = UnitRows::of(Table::Weights, &label(HIDDEN), &topology()).unwrap();
    let told = |parts: &[Range<u32>]| of_units.check_whole(parts).err();
    let one = std::slice::from_ref::<Range<u32>>;
    assert_eq!(told(one(&(0..4))), None);
    assert_eq!(told(&[0..1, 1..3, 3..4]), None);
    let all = "a row for each of 4 units";
    for (parts, place, expected, found) in [
        (&[0..1, 3..4][..], 1, all, "none of units 1 to 2"),
        (one(&(1..4)), 0, all, "none of unit 0"),
        (one(&(0..2)), 0, all, "none of units 2 to 3"),
        (&[0..2, 2..3], 1, all, "none of unit 3"),
        (&[], 0, all, "none of units 0 to 3"),
        (
            &[0..2, 1..4],
            1,
            "unit 2 after the file before",
            "unit 1 again",
        ),
        (&[2..4, 0..2], 0, all, "none of units 0 to 1"),
        (
            &[0..4, 0..4],
            1,
            "no more than a row for each of 4 units",
            "units 0 to 3 again",
        ),
    ] {
        let told = told(parts).unwrap();
        let told = (told.0, told.1.as_str(), told.2.as_str());
        assert_eq!(told, (place, expected, found), "{parts:?}");
    }
    assert!(of_units.are_all(&(0..4)) && !of_units.are_all(&(0..3)));
    // Which units a file has is told by its rows.
    let mut part = UnitRows::of(Table::Weights, &label(HIDDEN), &topology()).unwrap();
    part.check(&picked(&rows_of(), &[1, 2])).unwrap();
    let rows = part.end().unwrap();
    assert_eq!((rows.len(), &rows[0].units), (1, &(1..3)));
}
