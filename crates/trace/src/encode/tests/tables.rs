//! What holds for every table alike.

use arrow::array::{ArrayRef, BooleanArray, Float32Array, StringArray};
use parquet::basic::PageType;

use super::*;

/// 297 samples of 10 classes; the class is unknown for one.
fn classifications_rows() -> RecordBatch {
    let n = 297;
    let target: Int32Array = (0..n).map(|i| (i != 5).then_some(i % 10)).collect();
    let outputs: Vec<Vec<f32>> = (0..n as u32).map(|i| noise(i, 10)).collect();
    let expected = lists(&vec![Vec::new(); n as usize], Some(vec![false; n as usize]));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_value(96, n as usize)),
        Arc::new(Int32Array::from_value(0, n as usize)),
        Arc::new(StringArray::from_iter_values((0..n).map(|_| "eval"))),
        Arc::new(Int64Array::from_iter_values(0..i64::from(n))),
        Arc::new(target.clone()),
        Arc::new(expected),
        Arc::new(target),
        Arc::new(
            (0..n)
                .map(|i| (i != 5).then_some(i % 3 == 0))
                .collect::<BooleanArray>(),
        ),
        Arc::new(Float32Array::from(noise(1, n as usize))),
        Arc::new(Float32Array::from(noise(2, n as usize))),
        Arc::new(lists(&outputs, None)),
    ];
    RecordBatch::try_new(Table::Classifications.schema(), columns).unwrap()
}

/// 64 neurons after a ReLU, of which the first is dead and has no statistics of its values.
fn activations_rows() -> RecordBatch {
    let n = 64;
    let values: Vec<Vec<f32>> = (0..n as u32)
        .map(|unit| noise(unit, 512).iter().map(|x| x.max(0.0)).collect())
        .collect();
    let ids = || Arc::new(Int32Array::from_iter_values(0..n as i32));
    let statistic = |seed| {
        let values = noise(seed, n).into_iter().enumerate();
        Arc::new(
            values
                .map(|(unit, x)| (unit > 0).then_some(x))
                .collect::<Float32Array>(),
        )
    };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_value(96, n)),
        Arc::new(Int32Array::from_value(0, n)),
        Arc::new(StringArray::from_iter_values(vec!["eval"; n])),
        Arc::new(Int32Array::from_value(0, n)),
        ids(),
        ids(),
        Arc::new(Int64Array::from_value(512, n)),
        Arc::new(lists(&values, None)),
        statistic(1),
        statistic(2),
        statistic(3),
        statistic(4),
        statistic(5),
        statistic(6),
        statistic(7),
        Arc::new(Int64Array::from_value(250, n)),
        Arc::new(Int64Array::from_value(0, n)),
    ];
    RecordBatch::try_new(Table::Activations.schema(), columns).unwrap()
}

/// Rows of a table that has the columns of `weights`, and `name` where that is given.
fn weights_of(table: Table, name: Option<&str>) -> RecordBatch {
    let rows: Vec<Vec<f32>> = (0..64).map(|unit| noise(unit, 32)).collect();
    let weights = weights_rows(3, 0, lists(&rows, None));
    let mut columns = weights.columns().to_vec();
    if let Some(name) = name {
        let names = StringArray::from_iter_values(vec![name; weights.num_rows()]);
        columns.insert(2, Arc::new(names));
    }
    RecordBatch::try_new(table.schema(), columns).unwrap()
}

/// A file of each table, and what is in it.
pub(super) fn file_of(table: Table) -> (Bytes, RecordBatch) {
    let rows = match table {
        Table::Weights => weights_of(Table::Weights, None),
        Table::Activations => activations_rows(),
        Table::Classifications => classifications_rows(),
        Table::Metrics => metrics_rows(3, &[("loss", 0.5), ("accuracy", f64::NAN)]),
        Table::Histograms => histograms_rows(3),
        Table::Gradients | Table::GradientsApplied => weights_of(table, None),
        Table::Moments => weights_of(Table::Moments, Some("moment_1")),
        Table::Resume => resume_rows(3, "moment_1"),
        Table::Structures => structures_rows(3, "ones"),
        Table::Ablations => ablations_rows(3),
    };
    let layer = table.has_layer().then_some(HIDDEN);
    (encode(table, layer, rows.clone()).unwrap(), rows)
}

/// The columns of which each encoding is specified, by the path of their leaf.
fn encodings(table: Table) -> [(Encoding, &'static [&'static str]); 3] {
    let (floats, numbers, words): (&[_], &[_], &[_]) = match table {
        Table::Weights | Table::Gradients | Table::GradientsApplied | Table::Moments => (
            &[
                "bias",
                "weights.list.item",
                "weight_mean",
                "weight_std",
                "weight_min",
                "weight_max",
                "weight_l2",
                "weight_median",
                "weight_l1",
            ],
            &["step", "rank", "neuron", "unit", "nonfinite"],
            if table == Table::Moments {
                &["name", "weight_zeros"]
            } else {
                &["weight_zeros"]
            },
        ),
        Table::Activations => (
            &[
                "activations.list.item",
                "activation_mean",
                "activation_median",
                "activation_std",
                "activation_min",
                "activation_max",
                "activation_l1",
                "activation_l2",
            ],
            &[
                "step",
                "rank",
                "batch",
                "neuron",
                "unit",
                "num_samples",
                "zeros",
                "nonfinite",
            ],
            &["phase"],
        ),
        Table::Classifications => (
            &[
                "expected.list.item",
                "confidence",
                "loss",
                "outputs.list.item",
            ],
            &["step", "rank", "sample"],
            &["phase", "target", "predicted"],
        ),
        Table::Metrics => (&["value"], &["step", "rank"], &["name"]),
        Table::Histograms => (
            &["edges.list.item", "counts.list.item"],
            &["step", "rank"],
            &["of"],
        ),
        Table::Resume => (
            &["bias", "weights.list.item"],
            &["step", "rank", "neuron", "unit", "updates"],
            &["name"],
        ),
        Table::Structures => (
            &["score", "p_value"],
            &["step", "rank", "neuron", "first_epoch", "last_epoch"],
            &["name", "class", "layer", "measure", "half", "seed"],
        ),
        Table::Ablations => (
            &[
                "factor",
                "value",
                "before",
                "after",
                "random_mean",
                "random_std",
                "p_value",
                "random.list.item",
                "predicted_before.list.item",
                "predicted_after.list.item",
                "predicted_random.list.item",
            ],
            &["step", "rank", "seed", "num_samples"],
            &[
                "ablation", "name", "of_class", "neurons", "mode", "half", "samples", "class",
                "metric",
            ],
        ),
    };
    [
        (Encoding::BYTE_STREAM_SPLIT, floats),
        (Encoding::DELTA_BINARY_PACKED, numbers),
        (Encoding::RLE_DICTIONARY, words),
    ]
}

#[test]
fn every_column_of_every_table_has_the_encoding_of_its_type() {
    for table in Table::ALL {
        let (file, _) = file_of(table);
        for (encoding, paths) in encodings(table) {
            for path in paths {
                let mut pages = pages(&file, path);
                if encoding == Encoding::RLE_DICTIONARY {
                    let dictionary = pages.remove(0);
                    assert_eq!(dictionary.page_type(), PageType::DICTIONARY_PAGE, "{path}");
                }
                assert!(!pages.is_empty(), "{table}: {path}");
                for page in &pages {
                    assert_eq!(value_encoding(page), encoding, "{table}: {path}");
                }
            }
        }
        // What is left has one bit a row, or none at all.
        let named = encodings(table).map(|(_, paths)| paths).concat();
        let metadata = metadata(&file);
        let others: Vec<String> = metadata
            .row_group(0)
            .columns()
            .iter()
            .map(|chunk| chunk.column_path().string())
            .filter(|path| !named.contains(&path.as_str()))
            .collect();
        let expected: &[&str] = match table {
            Table::Weights
            | Table::Activations
            | Table::Gradients
            | Table::GradientsApplied
            | Table::Moments
            | Table::Resume => &[],
            Table::Histograms | Table::Structures | Table::Ablations => &[],
            Table::Classifications => &["correct"],
            Table::Metrics => &["phase"],
        };
        assert_eq!(others, expected, "{table}");
    }
}

#[test]
fn the_footer_of_every_table_says_how_it_is_sorted() {
    for (table, columns) in Table::ALL.into_iter().zip([
        &["step", "neuron"][..],
        &["step", "neuron"],
        &["step", "sample"],
        &["step"],
        &["step"],
        &["step", "neuron"],
        &["step", "neuron"],
        &["step", "neuron"],
        &["step", "neuron"],
        &["step"],
        &["step"],
    ]) {
        let metadata = metadata(&file_of(table).0);
        let row_group = metadata.row_group(0);
        let sorted_by: Vec<String> = row_group
            .sorting_columns()
            .unwrap()
            .iter()
            .map(|by| {
                row_group
                    .column(by.column_idx as usize)
                    .column_path()
                    .string()
            })
            .collect();
        assert_eq!(sorted_by, columns, "{table}");
    }
}

#[test]
fn what_was_written_is_read_back_in_every_table() {
    for table in Table::ALL {
        let (file, rows) = file_of(table);
        let read = decode(&file);
        assert_eq!(read.schema().fields(), table.schema().fields());
        for (field, (a, b)) in read
            .schema()
            .fields()
            .iter()
            .zip(read.columns().iter().zip(rows.columns()))
        {
            assert_eq!(a.as_ref(), b.as_ref(), "{table}: {}", field.name());
        }
    }
    let nothing = weights_rows(3, 0, lists(&[], None));
    let file = encode(Table::Weights, Some(HIDDEN), nothing).unwrap();
    assert_eq!(metadata(&file).file_metadata().num_rows(), 0);
}
