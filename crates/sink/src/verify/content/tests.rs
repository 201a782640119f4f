use std::sync::Arc;

use arrow::array::Int32Array;
use trace::{Crc32c, Epoch, LayerLabel, Table};

use super::*;
use crate::testing::{HIDDEN, OUTPUT, layer_weights, metrics_rows, part_path, topology};

const PATH: &str = "weights/epoch=1/layer=L_hidden_1/step-48-r0-g0.parquet";

fn content(path: &str, epoch: i32, layer: Option<&str>) -> Result<Content, Wrong> {
    let file = CommittedFile {
        commit: trace::CommitInfo {
            number: 0,
            time_ms: 0,
            rank: trace::Rank(0),
        },
        table: "weights",
        epoch,
        layer,
        path,
        rows: 4,
        bytes: 1,
        crc32c: Crc32c(0),
        footer: None,
        columns: None,
    };
    Content::try_new(&file, &topology())
}

fn wrong(path: &str, rows: &RecordBatch) -> Option<Wrong> {
    let part: PartPath = path.parse().unwrap();
    let layer = part.layer.as_ref().map(LayerLabel::as_str);
    let mut content = content(path, part.epoch.0, layer).ok()?;
    content.check(rows).err()
}

#[test]
fn rows_are_those_that_the_path_says() {
    let (path, rows) = layer_weights(1, HIDDEN);
    assert_eq!(path.to_string(), PATH);
    assert_eq!(wrong(PATH, &rows), None);
    let of_another = [
        (PATH.replace("step-48", "step-24"), "a row of step 48"),
        (PATH.replace("-r0-", "-r1-"), "a row of rank 0"),
        (PATH.replace(HIDDEN, OUTPUT), "neuron 0"),
    ];
    for (path, expected) in of_another {
        let (check, _, found) = wrong(&path, &rows).unwrap();
        assert_eq!((check, found.as_str()), (Check::Name, expected), "{path}");
    }
    // Of tables without neurons the moment alone is told.
    let metrics = part_path(Table::Metrics, 1, None).to_string();
    let rows = metrics_rows(1, &[("loss", 0.5)]);
    assert_eq!(wrong(&metrics, &rows), None);
    assert!(wrong(&metrics.replace("step-48", "step-1"), &rows).is_some());
}

#[test]
fn a_path_is_of_the_partition_that_the_commit_says() {
    for (path, epoch, layer) in [
        (PATH, 2, Some(HIDDEN)),
        (PATH, 1, Some(OUTPUT)),
        (PATH, 1, None),
        (
            "weights/epoch=1/layer=L_hidden_1/copy.parquet",
            1,
            Some(HIDDEN),
        ),
        (
            "weights/epoch=01/layer=L_hidden_1/step-48-r0-g0.parquet",
            1,
            Some(HIDDEN),
        ),
    ] {
        let (check, ..) = content(path, epoch, layer).err().unwrap();
        assert_eq!(check, Check::Name, "{path} {epoch} {layer:?}");
    }
    assert!(content(PATH, Epoch(1).0, Some(HIDDEN)).is_ok());
}

#[test]
fn rows_ascend_within_a_batch_and_from_one_to_the_next() {
    let (_, rows) = layer_weights(1, HIDDEN);
    let neurons = |neurons: [i32; 4]| {
        let mut columns = rows.columns().to_vec();
        columns[2] = Arc::new(Int32Array::from(neurons.to_vec()));
        RecordBatch::try_new(rows.schema(), columns).unwrap()
    };
    let (check, _, found) = wrong(PATH, &neurons([0, 2, 1, 3])).unwrap();
    assert_eq!((check, found.as_str()), (Check::Order, "1 after 2"));

    let mut content = content(PATH, 1, Some(HIDDEN)).unwrap();
    content.check(&rows.slice(0, 2)).unwrap();
    let (check, _, found) = content.check(&rows.slice(0, 2)).unwrap_err();
    assert_eq!((check, found.as_str()), (Check::Order, "0 after 1"));
    let (check, _, found) = content.check(&rows.slice(3, 1)).unwrap_err();
    assert_eq!((check, found.as_str()), (Check::Units, "unit 3 in row 2"));
    let of_layer = content.end().unwrap().unwrap();
    assert_eq!(of_layer.rows[0].units, 0..2);
}
