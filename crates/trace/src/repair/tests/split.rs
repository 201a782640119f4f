//! Repairs of runs of which a layer is split into several part files.

use super::*;
use crate::layers::LackingCapture;

/// The units that each file of the layer [`HIDDEN`] has.
const UNITS: [std::ops::Range<usize>; 3] = [0..1, 1..3, 3..4];

/// The path of a layer's file of weights with that number.
fn split_path(epoch: i32, sequence: u32) -> PartPath {
    PartPath {
        sequence,
        ..part_path(Table::Weights, epoch, Some(HIDDEN))
    }
}

/// Three captures of a layer that is split and one that is not, a commit each, and one that says that this is all.
fn recorded_split(path: &Path) -> RunDir {
    recorded_split_in(path, 0..3)
}

/// As [`recorded_split`], with the layer split in some epochs alone.
fn recorded_split_in(path: &Path, split: std::ops::Range<i32>) -> RunDir {
    let run = create_run(path);
    let mut publisher = publisher(&run);
    for epoch in 0..3 {
        let mut parts = Vec::new();
        for (path, rows) in capture_parts(epoch) {
            if path != split_path(epoch, 0) || !split.contains(&epoch) {
                parts.push(stage(&publisher, path, rows));
                continue;
            }
            for (sequence, units) in (0..).zip(UNITS) {
                let rows = rows.slice(units.start, units.len());
                parts.push(stage(&publisher, split_path(epoch, sequence), rows));
            }
        }
        let group = Group {
            captures: vec![capture(epoch)],
            parts,
            retired: Vec::new(),
        };
        publisher.publish(group).unwrap();
    }
    publisher.publish_last(Group::default()).unwrap();
    run
}

/// The paths of a capture's weights, in the order of the commits.
fn paths(run: &RunDir, epoch: i32) -> Vec<String> {
    let catalog = Catalog::load(run).unwrap();
    let of_layer = catalog.select(Table::Weights.name(), |of, layer| {
        of == epoch && layer == Some(HIDDEN)
    });
    let paths = of_layer.into_iter().map(|index| catalog.file(index).path);
    paths.map(str::to_owned).collect()
}

#[test]
fn without_any_commits_all_parts_of_a_layer_are_named_again_in_their_order() {
    let dir = tempfile::tempdir().unwrap();
    let run = recorded_split(&dir.path().join("run"));
    let (whole, before) = (answer(run.path()), paths(&run, 1));
    assert_eq!(before, [0, 1, 2].map(|n| split_path(1, n).to_string()));
    fs::remove_dir_all(run.commits_dir()).unwrap();
    repaired(run.path());
    assert_eq!(answer(run.path()), whole);
    assert_eq!(paths(&run, 1), before);
}

#[test]
fn a_capture_that_lacks_a_part_of_a_layer_is_not_whole() {
    for lost in 0..3 {
        // By name, and by nothing but its rows.
        for has_commits in [true, false] {
            let dir = tempfile::tempdir().unwrap();
            let run = recorded_split(&dir.path().join("run"));
            let whole = answer(run.path());
            fs::remove_file(run.path().join(split_path(1, lost).to_string())).unwrap();
            if !has_commits {
                fs::remove_dir_all(run.commits_dir()).unwrap();
            }
            let report = repaired(run.path());
            assert_eq!(answer(run.path()), without_capture(whole, 1));
            let says = format!("it lacks weights of some units of {HIDDEN}");
            let told = report
                .moved
                .iter()
                .all(|moved| moved.reason.contains(&says));
            assert!(has_commits || told, "{:?}", report.moved);
        }
    }
}

#[test]
fn what_is_salvaged_has_a_layer_with_all_its_units_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let run = recorded_split(&dir.path().join("run"));
    let catalog = Catalog::load(&run).unwrap();
    let lost = split_path(1, 1).to_string();
    fs::remove_file(run.path().join(&lost)).unwrap();
    let (whole, bad) = catalog.whole_files(&run);
    let told: Vec<String> = bad.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 3, "{told:#?}");
    assert!(told[0].contains(&format!("{lost} is committed, but not there")));
    for (told, number) in told[1..].iter().zip([0, 2]) {
        let expected = format!("{} is whole, and a part of a layer", split_path(1, number));
        assert!(told.contains(&expected), "{told}");
    }
    assert_eq!(whole.num_files(), catalog.num_files() - 3);
    let of_layer = |epoch| {
        whole
            .select(Table::Weights.name(), |of, _| of == epoch)
            .len()
    };
    assert_eq!([0, 1, 2].map(of_layer), [4, 1, 4]);
}

#[test]
fn what_a_commit_names_of_a_layer_is_told_and_left_where_it_is_a_part_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let run = create_run(&dir.path().join("run"));
    let mut publisher = publisher(&run);
    let parts = capture_parts(0).into_iter().map(|(path, rows)| {
        let num_rows = rows.num_rows() - usize::from(path == split_path(0, 0));
        stage(&publisher, path, rows.slice(0, num_rows))
    });
    let group = Group {
        captures: vec![capture(0)],
        parts: parts.collect(),
        retired: Vec::new(),
    };
    publisher.publish(group).unwrap();
    drop(publisher);
    let catalog = Catalog::load(&run).unwrap();
    let lacking = LackingCapture {
        id: capture(0),
        rank: Rank(0),
        table: Table::Weights,
        layers: Vec::new(),
        partial: vec![crate::testing::label(HIDDEN)],
    };
    assert_eq!(catalog.lacking_captures(run.info()), [lacking]);
    // Its files have the bytes that were committed: they stay as they are.
    let report = repaired(run.path());
    assert_eq!(report.actions, Vec::<String>::new());
    assert_eq!(Catalog::load(&run).unwrap().captures().len(), 1);
}

/// Repairs a run that has lost its records and `run.json`, whose layer has all its units then; returns its captures.
fn repaired_without_a_word(run: &RunDir) -> Vec<CaptureId> {
    fs::remove_dir_all(run.commits_dir()).unwrap();
    fs::remove_file(run.path().join(RUN_FILE)).unwrap();
    repaired(run.path());
    let again = RunDir::open(run.path()).unwrap();
    let layer = again.info().layers.layer(HIDDEN).unwrap();
    assert_eq!((layer.num_units, layer.fan_in), (4, 3));
    assert_eq!(layer.recorded_units, None);
    answer(run.path()).0
}

#[test]
fn a_lost_run_json_has_all_units_of_a_layer_that_is_split() {
    let dir = tempfile::tempdir().unwrap();
    let run = recorded_split(&dir.path().join("run"));
    // Of the first capture a part is lost: the others say how large the layer is.
    fs::remove_file(run.path().join(split_path(0, 2).to_string())).unwrap();
    assert_eq!(repaired_without_a_word(&run), [capture(1), capture(2)]);
}

/// A run may be gone on with another size of parts.
#[test]
fn a_lost_run_json_is_told_by_the_captures_that_are_whole_however_they_are_split() {
    for lost in 0..3 {
        let dir = tempfile::tempdir().unwrap();
        let run = recorded_split_in(&dir.path().join("run"), 0..2);
        for epoch in 0..2 {
            fs::remove_file(run.path().join(split_path(epoch, lost).to_string())).unwrap();
        }
        assert_eq!(repaired_without_a_word(&run), [capture(2)], "{lost}");
    }
}
