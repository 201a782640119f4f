//! When the network is captured.

use trace::Epoch;

use super::*;

/// The epochs that are committed as captures, and those that a table has files of.
fn epochs(run: &Path, table: Table) -> (Vec<i32>, Vec<i32>) {
    let catalog = Catalog::load(&RunDir::open(run).unwrap()).unwrap();
    let captures = catalog.captures().iter().map(|capture| capture.id.epoch.0);
    let files = catalog.select(table.name(), |_, _| true);
    let mut of_files: Vec<i32> = files.iter().map(|file| catalog.file(*file).epoch).collect();
    of_files.sort_unstable();
    of_files.dedup();
    (captures.collect(), of_files)
}

#[test]
fn a_schedule_leaves_captures_out_and_changes_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let session = |name: &str, schedule: &str| {
        let path = dir.path().join(name);
        let mut options = options(&path, Some(EVERYTHING));
        options.train.epochs = 6;
        options.schedule = schedule.parse().unwrap();
        let (parameters, summary) = final_parameters(&options);
        (path, bits(&parameters), summary.recorded.unwrap().1)
    };
    let (_, all, _) = session("all", "1epoch");
    let (path, some, summary) = session("some", "2epochs");
    assert_eq!(all, some);
    assert_eq!(summary.num_captures, 4);
    let every = vec![0, 1, 2, 3, 4, 5];
    assert_eq!(
        epochs(&path, Table::Weights),
        (vec![0, 2, 4, 5], vec![0, 2, 4, 5])
    );
    assert_eq!(epochs(&path, Table::Metrics), (vec![0, 2, 4, 5], every));
    let run = RunDir::open(&path).unwrap();
    assert!(
        replay(&run, CaptureChoice::epoch(Epoch(5)))
            .unwrap()
            .different
            .is_empty()
    );
    let error = replay(&run, CaptureChoice::epoch(Epoch(3)))
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "epoch 3 was not recorded: there are epochs 0, 2, 4, 5"
    );
}

#[test]
fn steps_inside_of_epochs_are_captured_and_change_nothing() {
    for device in devices() {
        let dir = tempfile::tempdir().unwrap();
        let session = |name: &str, schedule: &str| {
            let path = dir.path().join(name);
            let mut options = options(&path, Some(EVERYTHING));
            options.device = device;
            options.schedule = schedule.parse().unwrap();
            let (parameters, _) = final_parameters(&options);
            let run = RunDir::open(&path).unwrap();
            let captures = Catalog::load(&run).unwrap().captures().to_vec();
            let captures = captures.iter().map(|c| (c.id.epoch.0, c.id.step.0));
            (bits(&parameters), captures.collect::<Vec<_>>(), run)
        };
        let (expected, _, _) = session("epochs", "1epoch");
        // 24 steps an epoch.
        let (parameters, captures, run) = session("steps", "20steps,1");
        assert_eq!(parameters, expected, "{device}");
        let steps = [(0, 20), (1, 40), (1, 48), (2, 60), (2, 72)];
        assert_eq!(captures, steps, "{device}");
        for (epoch, step) in [(0, 20), (1, 48), (2, 72)] {
            let report = replay(&run, CaptureChoice::epoch(Epoch(epoch))).unwrap();
            assert_eq!(report.capture.step.0, step);
            assert!(report.different.is_empty(), "{device}: {report:?}");
        }
        // An epoch that ends with a step that is due.
        let (_, captures, _) = session("ends", "24steps");
        assert_eq!(captures, [(0, 24), (1, 48), (2, 72)], "{device}");
    }
}

#[test]
fn without_metrics_an_epoch_that_is_not_due_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    let no_metrics = Recorded {
        metrics: false,
        gradients: false,
        moments: false,
        ..EVERYTHING
    };
    let mut options = options(&path, Some(no_metrics));
    options.schedule = "1epoch@1..2".parse().unwrap();
    final_parameters(&options);
    assert_eq!(epochs(&path, Table::Activations), (vec![1], vec![1]));
    assert_eq!(epochs(&path, Table::Metrics).1, [0; 0]);
}

#[test]
fn a_schedule_that_training_does_not_come_to_is_refused_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    let mut options = options(&path, Some(EVERYTHING));
    options.schedule = "0,3".parse().unwrap();
    let error = train(&options, &CancelToken::default(), &mut Silent).unwrap_err();
    assert!(matches!(error, SessionError::Schedule(_)), "{error}");
    assert!(!path.exists());
}

#[test]
fn the_untrained_network_is_epoch_minus_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    let (without, _) = final_parameters(&options(&dir.path().join("other"), Some(EVERYTHING)));
    let mut options = options(&path, Some(EVERYTHING));
    options.record_initial = true;
    let (with, summary) = final_parameters(&options);
    assert_eq!(bits(&without), bits(&with));
    assert_eq!(summary.recorded.unwrap().1.num_captures, 4);
    let (captures, weights) = epochs(&path, Table::Weights);
    assert_eq!((captures, weights), (vec![-1, 0, 1, 2], vec![-1, 0, 1, 2]));

    let run = RunDir::open(&path).unwrap();
    let report = replay(&run, CaptureChoice::epoch(Epoch(-1))).unwrap();
    assert_eq!(report.capture.step.0, 0);
    assert!(report.different.is_empty(), "{report:?}");
    // Ten classes, and nothing learned.
    assert!(report.score.value() < 0.3, "{report:?}");
    let rows = read_part(&path, Table::Weights, -1, Some("L_input")).unwrap();
    let weights = rows["weights"].as_list::<i32>().values();
    let weights = weights.as_primitive::<Float32Type>();
    let dataset = Dataset::load(DatasetKind::Digits, 42, 64).unwrap();
    let initial = NetworkParameters::initial(&options.train.model(&dataset).unwrap(), 42);
    assert_eq!(weights.values()[..], initial.layers[0].weights[..]);
}
