use std::fs;

use fixtures::tiny;
use trace::RunDir;

use super::*;

fn dealt(files: &[(u64, Option<u32>)], num_partitions: usize) -> Vec<Vec<u32>> {
    let files = (0..).zip(files);
    let files = files.map(|(index, (bytes, layer))| File {
        index,
        bytes: *bytes,
        layer: *layer,
    });
    deal(files, num_partitions)
}

fn of_sizes(sizes: &[u64], num_partitions: usize) -> Vec<Vec<u32>> {
    let files: Vec<_> = sizes.iter().map(|bytes| (*bytes, None)).collect();
    dealt(&files, num_partitions)
}

#[test]
fn neighbours_go_to_different_partitions_and_stay_in_order() {
    assert_eq!(of_sizes(&[10, 10, 10, 10], 2), [[0, 2], [1, 3]]);
}

#[test]
fn partitions_are_of_about_the_same_size() {
    assert_eq!(
        of_sizes(&[30, 10, 10, 10, 30], 2),
        [vec![0, 4], vec![1, 2, 3]]
    );
}

#[test]
fn the_files_of_a_layer_stay_together_if_they_have_to() {
    let of_layers = |layers: &[u32], num_partitions| {
        let files: Vec<_> = layers.iter().map(|layer| (10, Some(*layer))).collect();
        dealt(&files, num_partitions)
    };
    assert_eq!(
        of_layers(&[0, 1, 2, 0, 1, 2, 0, 1, 2], 2),
        [vec![0, 2, 3, 5, 6, 8], vec![1, 4, 7]]
    );
    assert_eq!(of_layers(&[0, 0, 0], 2).len(), 1);
}

#[test]
fn there_are_no_empty_partitions() {
    assert_eq!(of_sizes(&[1], 4).len(), 1);
    assert_eq!(of_sizes(&[0, 0], 2).len(), 2);
}

/// A copy of a run that has only the names of these files, in one partition.
fn listed(table: Table, paths: &[&str]) -> ChosenFiles {
    listed_as(table, paths, Dealt::Evenly, 1)
}

fn listed_as(table: Table, paths: &[&str], how: Dealt, num_partitions: usize) -> ChosenFiles {
    let dir = tempfile::tempdir().unwrap();
    let run = tiny::write_empty(&dir.path().join("run")).unwrap();
    if run.commits_dir().is_dir() {
        fs::remove_dir_all(run.commits_dir()).unwrap();
    }
    for path in paths {
        let path = run.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }
    let run = RunDir::open(run.path()).unwrap();
    let snapshot = Arc::new(Snapshot::load(run).unwrap());
    let indices = snapshot.select(table, |_, _| true);
    assert_eq!(indices.len(), paths.len());
    ChosenFiles::new(snapshot, table, &indices, how, num_partitions)
}

#[test]
fn the_files_of_a_layer_that_the_topology_lacks_stay_together() {
    let paths = [
        "weights/epoch=0/layer=L_hidden/step-10-r0-g0.parquet",
        "weights/epoch=0/layer=L_other/step-10-r0-g0.parquet",
        "weights/epoch=1/layer=L_hidden/step-20-r0-g0.parquet",
        "weights/epoch=1/layer=L_other/step-20-r0-g0.parquet",
        "weights/epoch=2/layer=L_other/step-30-r0-g0.parquet",
    ];
    let files = listed_as(Table::Weights, &paths, Dealt::ByLayer, 2);
    let of_other = |index: &&u32| files.file(**index).layer == Some("L_other");
    let others = files.partitions().iter();
    let others: Vec<usize> = others
        .map(|indices| indices.iter().filter(of_other).count())
        .collect();
    assert_eq!(others.len(), 2);
    assert!(others.contains(&3), "{others:?}");
}

#[test]
fn files_come_by_epoch_step_and_topology() {
    let files = listed(
        Table::Weights,
        &[
            "weights/epoch=10/layer=L_hidden/step-30-r0-g0.parquet",
            "weights/epoch=2/layer=L_output/step-9-r0-g0.parquet",
            "weights/epoch=2/layer=L_hidden/step-10-r0-g0.parquet",
            "weights/epoch=2/layer=L_hidden/step-9-r0-g0.parquet",
        ],
    );
    let paths = files.partitions()[0].iter().map(|i| files.file(*i).path);
    assert_eq!(
        paths.collect::<Vec<_>>(),
        [
            "weights/epoch=2/layer=L_hidden/step-9-r0-g0.parquet",
            "weights/epoch=2/layer=L_output/step-9-r0-g0.parquet",
            "weights/epoch=2/layer=L_hidden/step-10-r0-g0.parquet",
            "weights/epoch=10/layer=L_hidden/step-30-r0-g0.parquet",
        ]
    );
    // Epoch, step and neuron.
    assert!(files.ascends_by(2));
}

#[test]
fn rows_that_several_files_may_have_are_in_no_order() {
    // Two ranks have neurons of the same layer.
    let files = listed(
        Table::Weights,
        &[
            "weights/epoch=0/layer=L_hidden/step-9-r0-g0.parquet",
            "weights/epoch=0/layer=L_hidden/step-9-r1-g0.parquet",
        ],
    );
    assert!(!files.ascends_by(2));
    assert!(files.ascends_by(1));
    // Files of a layer that is split are one behind the other, whatever their names look like.
    let split = ["", "-1", "-2", "-10"]
        .map(|number| format!("weights/epoch=0/layer=L_hidden/step-9-r0-g0{number}.parquet"));
    let files = listed(Table::Weights, &split.each_ref().map(String::as_str));
    let paths = files.partitions()[0].iter().map(|i| files.file(*i).path);
    assert_eq!(paths.collect::<Vec<_>>(), split);
    assert!(files.ascends_by(2));
    // Of activations each may have the same neurons, in another batch.
    let batches = split
        .each_ref()
        .map(|path| path.replace("weights", "activations"));
    let files = listed(Table::Activations, &batches.each_ref().map(String::as_str));
    assert!(!files.ascends_by(2));
    // Of a layer that the network has not, nothing is known.
    let files = listed(
        Table::Weights,
        &[
            "weights/epoch=0/layer=L_hidden/step-9-r0-g0.parquet",
            "weights/epoch=1/layer=L_other/step-10-r0-g0.parquet",
        ],
    );
    assert!(!files.ascends_by(2));
    assert!(files.ascends_by(1));
    // Any two files may have the same samples, but not at one step.
    let of_samples = |second: &str| {
        let paths = ["classifications/epoch=0/step-9-r0-g0.parquet", second];
        listed(Table::Classifications, &paths).ascends_by(2)
    };
    assert!(of_samples("classifications/epoch=0/step-10-r0-g0.parquet"));
    assert!(!of_samples("classifications/epoch=0/step-9-r1-g0.parquet"));
}

#[test]
fn a_file_by_itself_is_in_order() {
    let path = "weights/epoch=0/layer=L_other/step-9-r0-g0.parquet";
    assert!(listed(Table::Weights, &[path]).ascends_by(2));
}
