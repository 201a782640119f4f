use super::*;
use crate::testing::{HIDDEN, OUTPUT, create_run, label, part_path};

fn held(parts: &[PartPath]) -> Held {
    let mut held = Held::new();
    for part in parts {
        let layer = part.layer.as_ref().map(LayerLabel::as_str);
        add(&mut held, part, if layer == Some(HIDDEN) { 4 } else { 2 });
    }
    held
}

fn words(lacking: &[Lacking]) -> Vec<(Table, Vec<&str>)> {
    lacking
        .iter()
        .map(|lacking| {
            assert_eq!(lacking.partial, []);
            let layers = lacking.layers.iter().map(LayerLabel::as_str);
            (lacking.table, layers.collect())
        })
        .collect()
}

#[test]
fn a_capture_is_to_have_the_weights_of_every_layer_that_another_has() {
    let dir = tempfile::tempdir().unwrap();
    let info = create_run(&dir.path().join("run")).info().clone();
    let weights = |epoch, layer| part_path(Table::Weights, epoch, Some(layer));
    let all = [weights(0, HIDDEN), weights(0, OUTPUT), weights(1, HIDDEN)];
    let recorded = Recorded::of(all.iter(), &info);
    assert_eq!(recorded.lacking(Rank(0), &held(&all[..2])), []);
    let lacking = recorded.lacking(Rank(0), &held(&all[2..]));
    assert_eq!(words(&lacking), [(Table::Weights, vec![OUTPUT])]);
    let lacking = recorded.lacking(Rank(0), &Held::new());
    assert_eq!(words(&lacking), [(Table::Weights, vec![HIDDEN, OUTPUT])]);
    // Of a rank that recorded nothing nothing is due.
    assert_eq!(recorded.lacking(Rank(1), &Held::new()), []);
}

#[test]
fn what_a_network_of_somebodys_own_leaves_out_once_is_not_missed() {
    let dir = tempfile::tempdir().unwrap();
    let rebuildable = create_run(&dir.path().join("run")).info().clone();
    let own = RunInfo {
        model: serde_json::Value::Null,
        ..rebuildable.clone()
    };
    let part = |table, layer| part_path(table, 0, layer);
    let all = [
        part(Table::Activations, Some(HIDDEN)),
        part(Table::Activations, Some(OUTPUT)),
        part(Table::Classifications, None),
        part(Table::Gradients, Some(HIDDEN)),
        part(Table::Gradients, Some(OUTPUT)),
        part(Table::Histograms, Some(HIDDEN)),
        part(Table::Metrics, None),
    ];
    let some = held(&[all[0].clone(), all[3].clone()]);
    assert_eq!(Recorded::of(all.iter(), &own).lacking(Rank(0), &some), []);
    let recorded = Recorded::of(all.iter(), &rebuildable);
    let expected = [
        (Table::Activations, vec![OUTPUT]),
        (Table::Classifications, vec![]),
        (Table::Gradients, vec![OUTPUT]),
    ];
    assert_eq!(words(&recorded.lacking(Rank(0), &some)), expected);
    // The untrained network has no gradients.
    let untrained = held(&all[..3]);
    assert_eq!(recorded.lacking(Rank(0), &untrained), []);
}

#[test]
fn a_layer_is_there_with_the_rows_of_all_its_files() {
    let dir = tempfile::tempdir().unwrap();
    let info = create_run(&dir.path().join("run")).info().clone();
    let all = [Table::Weights, Table::Moments, Table::Activations].map(|table| {
        // Of another epoch, so that it is known.
        part_path(table, 0, Some(HIDDEN))
    });
    let recorded = Recorded::of(all.iter(), &info);
    let lacking = |rows: [&[u64]; 3]| {
        let mut held = Held::new();
        for (part, rows) in all.iter().zip(rows) {
            rows.iter().for_each(|rows| add(&mut held, part, *rows));
        }
        let partial = recorded.lacking(Rank(0), &held).into_iter().map(|lacking| {
            assert_eq!(lacking.layers, []);
            assert_eq!(lacking.partial, [label(HIDDEN)]);
            lacking.table
        });
        partial.collect::<Vec<Table>>()
    };
    assert_eq!(lacking([&[4], &[4, 4], &[4]]), []);
    assert_eq!(lacking([&[1, 3], &[3, 1, 3, 1], &[4, 2, 2]]), []);
    assert_eq!(lacking([&[1], &[4, 4], &[4]]), [Table::Weights]);
    assert_eq!(lacking([&[4, 4], &[4, 4], &[4]]), [Table::Weights]);
    let others = [Table::Activations, Table::Moments];
    let mut told = lacking([&[2, 2], &[3, 1, 3], &[4, 3]]);
    told.sort_by_key(|table| table.name());
    assert_eq!(told, others);
}

/// As moments are whose halves are in files of their own: the files in the middle are as many rows as a tensor has.
#[test]
fn what_lacks_files_between_others_is_not_whole_whatever_the_rows() {
    let dir = tempfile::tempdir().unwrap();
    let info = create_run(&dir.path().join("run")).info().clone();
    let part = |sequence| PartPath {
        sequence,
        ..part_path(Table::Moments, 0, Some(HIDDEN))
    };
    let recorded = Recorded::of([part(0)].iter(), &info);
    for (sequences, is_whole) in [
        (&[0, 1, 2, 3][..], true),
        (&[0, 1], true),
        (&[0, 3], false),
        (&[1, 2], false),
        (&[0, 1, 2], false),
    ] {
        let mut held = Held::new();
        for &sequence in sequences {
            add(&mut held, &part(sequence), 2);
        }
        let lacking = recorded.lacking(Rank(0), &held);
        assert_eq!(lacking.is_empty(), is_whole, "{sequences:?} {lacking:?}");
    }
}
