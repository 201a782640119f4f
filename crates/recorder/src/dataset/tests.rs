use trace::Crc32c;

use super::*;

fn digits() -> Dataset {
    Dataset::load(DatasetKind::Digits, 0, 64).unwrap()
}

fn classes(samples: &Samples) -> &[i32] {
    match samples.targets() {
        Targets::Classes(classes) => classes,
        _ => panic!("digits have classes"),
    }
}

#[test]
fn digits_have_the_published_shape_and_split() {
    let digits = digits();
    assert_eq!((digits.num_train(), digits.held_out().len()), (1_500, 297));
    assert_eq!((digits.num_inputs(), digits.num_outputs()), (64, 10));
    assert_eq!(digits.num_steps(64), 24);
    assert_eq!(digits.class_names().join(""), "0123456789");
    // How often each class is among the last 297 lines of the file, counted with a shell.
    let mut counts = [0; 10];
    for &class in classes(digits.held_out()) {
        counts[class as usize] += 1;
    }
    assert_eq!(counts, [27, 31, 27, 30, 33, 30, 30, 30, 28, 31]);
}

#[test]
fn digits_rows_are_the_file_s_divided_by_16() {
    let held_out = digits().held_out;
    // Line 1502 of the file, the first that is held out, and the last one.
    let first = [0, 0, 0, 3, 12, 12, 2, 0, 0, 0, 7, 15, 16, 16, 0, 0].map(|p| p as f32 / 16.0);
    assert_eq!(held_out.inputs_of(0..1)[..16], first);
    assert_eq!(classes(&held_out)[0], 1);
    let last = [0, 1, 8, 12, 14, 12, 1, 0].map(|p| p as f32 / 16.0);
    assert_eq!(held_out.inputs_of(296..297)[56..], last);
    assert_eq!(classes(&held_out)[296], 8);
}

#[test]
fn the_digits_checksum_is_that_of_the_file() {
    // Computed by another implementation of CRC-32C.
    assert_eq!(digits().info().crc32c, Crc32c(0xb02c_6f8e));
}

#[test]
fn a_damaged_csv_is_an_error_that_names_the_line() {
    let row = |pixels: usize, pixel: &str, label: &str| {
        format!("header\n{}{label}\n", format!("{pixel},").repeat(pixels))
    };
    let problem = |csv: &str| match digits::parse(csv) {
        Err(DatasetError::Malformed {
            line: 2, problem, ..
        }) => problem,
        other => panic!("{other:?}"),
    };
    assert!(digits::parse(&row(64, "16", "9")).is_ok());
    assert_eq!(problem(&row(63, "16", "9")), "it has 63 pixels, not 64");
    assert_eq!(
        problem(&row(64, "17", "9")),
        "\"17\" is no pixel from 0 to 16"
    );
    assert_eq!(
        problem(&row(64, "16", "10")),
        "\"10\" is no label from 0 to 9"
    );
    assert_eq!(problem("header\nnothing"), "it has no label");
}

#[test]
fn an_epoch_visits_every_training_sample_once_and_keeps_the_short_batch() {
    let digits = digits();
    let Training::Fixed(train) = &digits.training else {
        panic!("digits are fixed")
    };
    let batches: Vec<Samples> = digits.train_batches(42, Epoch(0), 64).collect();
    assert_eq!(batches.len(), 24);
    assert!(batches[..23].iter().all(|batch| batch.len() == 64));
    assert_eq!(batches[23].len(), 1_500 - 23 * 64);

    let rows = |samples: &[&Samples]| {
        let mut rows: Vec<(Vec<u32>, i32)> = samples
            .iter()
            .flat_map(|s| s.inputs().chunks(64).zip(classes(s)))
            .map(|(x, &class)| (x.iter().map(|p| p.to_bits()).collect(), class))
            .collect();
        rows.sort();
        rows
    };
    assert_eq!(rows(&batches.iter().collect::<Vec<_>>()), rows(&[train]));
}

#[test]
fn the_order_depends_on_seed_and_epoch_alone() {
    let digits = digits();
    let order =
        |seed, epoch| -> Vec<Samples> { digits.train_batches(seed, Epoch(epoch), 64).collect() };
    assert_eq!(order(42, 0), order(42, 0));
    assert_ne!(order(42, 0), order(42, 1));
    assert_ne!(order(42, 0), order(43, 0));
}

#[test]
fn the_notebook_draws_one_batch_an_epoch_and_holds_out_100() {
    let notebook = Dataset::load(DatasetKind::Notebook, 7, 5).unwrap();
    assert_eq!((notebook.num_inputs(), notebook.num_outputs()), (20, 1));
    assert_eq!((notebook.num_train(), notebook.held_out().len()), (5, 100));
    let batches = |epoch| -> Vec<Samples> { notebook.train_batches(7, Epoch(epoch), 5).collect() };
    assert_eq!(batches(0).len(), 1);
    assert_eq!(batches(0)[0].len(), 5);
    assert_eq!(batches(0), batches(0));
    assert_ne!(batches(0), batches(1));
    let Targets::Soft(targets) = notebook.held_out().targets() else {
        panic!("the notebook's targets are soft")
    };
    assert!(targets.iter().all(|p| (0.0..1.0).contains(p)));
    assert!(targets.iter().any(|&p| p > 0.5) && targets.iter().any(|&p| p < 0.5));
}

#[test]
fn a_data_set_is_found_again_by_its_description() {
    for (kind, batch_size) in [(DatasetKind::Digits, 64), (DatasetKind::Notebook, 5)] {
        let recorded = Dataset::load(kind, 7, batch_size).unwrap();
        let again = Dataset::from_info(recorded.info(), 7).unwrap();
        assert_eq!(again.held_out(), recorded.held_out());
        assert_eq!(again.info(), recorded.info());
    }
}

#[test]
fn a_data_set_that_changed_is_not_taken_for_the_recorded_one() {
    let recorded = Dataset::load(DatasetKind::Notebook, 7, 5).unwrap();
    // Another seed draws other samples.
    assert!(matches!(
        Dataset::from_info(recorded.info(), 8),
        Err(DatasetError::Changed {
            field: "checksum",
            ..
        })
    ));
    let mut info = digits().info().clone();
    info.held_out = "last 100".to_owned();
    assert!(matches!(
        Dataset::from_info(&info, 0),
        Err(DatasetError::Changed {
            field: "held-out rule",
            ..
        })
    ));
    info.kind = "mnist".to_owned();
    assert!(matches!(
        Dataset::from_info(&info, 0).unwrap_err(),
        DatasetError::UnknownKind(kind) if kind == "mnist"
    ));
}

#[test]
fn the_notebook_needs_samples() {
    assert!(matches!(
        Dataset::load(DatasetKind::Notebook, 0, 0),
        Err(DatasetError::NoSamples)
    ));
}
