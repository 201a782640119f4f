//! Runs that are gone on with, and joined.

use std::collections::BTreeMap;
use std::time::Duration;

use arrow::array::{Array as _, AsArray as _, BooleanArray, RecordBatch};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::Float32Type;
use capture::{ActivationDetail, SavedState, join};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use trace::{CaptureId, PartPath};

use super::*;
use crate::dataset::DATA_RULES;

mod data;

const EPOCHS: i32 = 6;

fn options(out: &Path) -> SessionOptions {
    SessionOptions {
        out: Some(out.to_owned()),
        dataset: DatasetKind::Digits.into(),
        train: TrainConfig {
            hidden: vec![16, 12],
            epochs: EPOCHS as usize,
            ..TrainConfig::default_for(DatasetKind::Digits)
        },
        device: DeviceChoice::Cpu,
        recorded: Some(Recorded {
            activations: Some(ActivationDetail::Raw { samples: 20 }),
            gradients: true,
            moments: true,
            ..Recorded::DEFAULT
        }),
        layers: LayerSelection::default(),
        schedule: Schedule::default(),
        record_initial: true,
        channel_bytes: None,
        compress: None,
        max_part_bytes: None,
        save_every: "2epochs".parse().unwrap(),
        resume: false,
        rank: Rank::default(),
        world_size: 1,
        limits: Default::default(),
        on_commit: None,
    }
}

fn resuming(out: &Path) -> SessionOptions {
    SessionOptions {
        resume: true,
        ..options(out)
    }
}

/// After which epoch a session stops, and how.
#[derive(Clone, Copy)]
enum Stop {
    /// As by Ctrl-C.
    Cancel(i32),
    /// What was captured is published, nothing else is written.
    Die(i32),
}

/// Stops a session, and notes from where it went on.
#[derive(Default)]
struct Observer {
    stop: Option<Stop>,
    cancel: CancelToken,
    resumed: Option<(i32, usize)>,
}

impl SessionObserver for Observer {
    fn resumed(&mut self, epoch: Epoch, num_retired: usize) {
        self.resumed = Some((epoch.0, num_retired));
    }
    fn started(&mut self, _: &Resolution, _: Option<&Path>) {}
    fn epoch_done(&mut self, progress: &EpochProgress) {
        match self.stop {
            Some(Stop::Cancel(epoch)) if progress.train.epoch.0 == epoch => {
                self.cancel.cancel();
            }
            Some(Stop::Die(epoch)) if progress.train.epoch.0 == epoch => {
                std::panic::resume_unwind(Box::new("dead"))
            }
            _ => {}
        }
    }
}

/// Trains until after an epoch, which ends it as Ctrl-C does, or to the end; gives from where it went
/// on, if it did.
fn session(
    options: &SessionOptions,
    stop_after: Option<i32>,
) -> Result<(SessionSummary, Option<(i32, usize)>), SessionError> {
    let mut observer = Observer {
        stop: stop_after.map(Stop::Cancel),
        ..Observer::default()
    };
    let cancel = observer.cancel.clone();
    let summary = train(options, &cancel, &mut observer)?;
    assert_eq!(summary.interrupted, stop_after.is_some());
    Ok((summary, observer.resumed))
}

/// Trains until after an epoch, and dies; gives from where it went on, if it did.
fn killed_session(options: &SessionOptions, after: i32) -> Option<(i32, usize)> {
    let mut observer = Observer {
        stop: Some(Stop::Die(after)),
        ..Observer::default()
    };
    let cancel = observer.cancel.clone();
    let died = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        train(options, &cancel, &mut observer)
    }));
    assert_eq!(*died.unwrap_err().downcast::<&str>().unwrap(), "dead");
    observer.resumed
}

/// A session, stopped in that way or not at all; gives from where it went on, if it did.
fn stopped_session(options: &SessionOptions, stop: Option<Stop>) -> Option<(i32, usize)> {
    match stop {
        Some(Stop::Die(after)) => killed_session(options, after),
        Some(Stop::Cancel(after)) => session(options, Some(after)).unwrap().1,
        None => session(options, None).unwrap().1,
    }
}

fn open(path: &Path) -> (RunDir, Catalog) {
    let run = RunDir::open(path).unwrap();
    let catalog = Catalog::load(&run).unwrap();
    (run, catalog)
}

fn read(path: &Path) -> RecordBatch {
    let file = std::fs::File::open(path).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let schema = std::sync::Arc::clone(reader.schema());
    let batches: Result<Vec<_>, _> = reader.build().unwrap().collect();
    concat_batches(&schema, &batches.unwrap()).unwrap()
}

/// Every row of a run by partition and step, but for the rank, and for what recording cost.
fn trace(path: &Path) -> BTreeMap<String, Vec<arrow::array::ArrayData>> {
    let (run, catalog) = open(path);
    let mut rows = BTreeMap::new();
    for file in catalog.files() {
        let part: PartPath = file.path.parse().unwrap();
        if part.table == Table::Resume && part.rank != Rank::default() {
            // Each rank goes on by itself, with all layers.
            continue;
        }
        let mut batch = read(&run.path().join(file.path));
        if part.table == Table::Metrics {
            let names = batch["name"].as_string::<i32>();
            // Nor what only ranks say, to be compared.
            let is_own = |name: &str| {
                name.starts_with("recorder.")
                    || name.starts_with("sink.")
                    || name == trace::PARAMETERS_CRC32C
            };
            let keep: BooleanArray = names.iter().map(|n| Some(!is_own(n.unwrap()))).collect();
            batch = filter_record_batch(&batch, &keep).unwrap();
        }
        if batch.num_rows() == 0 {
            continue;
        }
        batch.remove_column(batch.schema().index_of("rank").unwrap());
        let columns = batch.columns().iter().map(|column| column.to_data());
        let (partition, _) = file.path.rsplit_once('/').unwrap();
        let key = format!("{partition}/{}-{}", part.step, part.sequence);
        let before = rows.insert(key, columns.collect());
        assert!(before.is_none(), "{} is there twice", file.path);
    }
    rows
}

/// The part files that lie in the tables' directories, whatever the commits say.
fn num_globbed(path: &Path) -> usize {
    fn count(dir: &Path) -> usize {
        let Ok(entries) = std::fs::read_dir(dir) else {
            return 0;
        };
        let entries = entries.map(|entry| entry.unwrap().path());
        entries
            .map(|p| if p.is_dir() { count(&p) } else { 1 })
            .sum()
    }
    Table::ALL.iter().map(|t| count(&path.join(t.name()))).sum()
}

#[test]
fn an_interrupted_and_resumed_trace_is_that_of_an_uninterrupted_one() {
    let dir = tempfile::tempdir().unwrap();
    let whole = dir.path().join("whole");
    session(&options(&whole), None).unwrap();
    let expected = trace(&whole);
    // Seven captures of three layers' weights and activations, classifications and metrics; all but
    // the first have gradients and two moments of each layer. The saved state at the end has three
    // tensors of each.
    assert_eq!(expected.len(), 7 * 8 + 6 * 9 + 9);

    // Saved states at the ends of epochs 1 and 3: killed after these epochs, it goes on from that one,
    // and records so many captures anew. Ctrl-C writes one of the last whole epoch.
    let die = |stops: &[i32]| stops.iter().copied().map(Stop::Die).collect();
    let cancel = |stops: &[i32]| stops.iter().copied().map(Stop::Cancel).collect();
    /// How a session is stopped, once after the other, and for each resumption from which epoch it
    /// goes on and how many captures it takes out.
    type Case = (&'static str, Vec<Stop>, Vec<(i32, usize)>);
    let cases: [Case; 8] = [
        ("dies 0", die(&[0]), vec![(0, 2)]),
        ("dies 1", die(&[1]), vec![(2, 0)]),
        ("dies 2", die(&[2]), vec![(2, 1)]),
        ("dies 4", die(&[4]), vec![(4, 1)]),
        (
            "dies often",
            die(&[0, 2, 3, 4]),
            vec![(0, 2), (2, 1), (4, 0), (4, 1)],
        ),
        ("cancelled 0", cancel(&[0]), vec![(1, 0)]),
        ("cancelled 2", cancel(&[2]), vec![(3, 0)]),
        (
            "both",
            vec![Stop::Cancel(0), Stop::Die(2), Stop::Cancel(4)],
            vec![(1, 0), (2, 1), (5, 0)],
        ),
    ];
    for (stops, each, goes_on) in cases {
        let path = dir.path().join(stops);
        let mut resumed = Vec::new();
        let later = each[1..].iter().copied().map(Some).chain([None]);
        stopped_session(&options(&path), Some(each[0]));
        for stop in later {
            resumed.push(stopped_session(&resuming(&path), stop).unwrap());
        }
        assert_eq!(resumed, goes_on, "{stops}");
        let found = trace(&path);
        assert_eq!(
            found.keys().collect::<Vec<_>>(),
            expected.keys().collect::<Vec<_>>()
        );
        for (key, rows) in &found {
            assert!(*rows == expected[key], "{stops}: {key} differs");
        }
        let (_, catalog) = open(&path);
        assert_eq!(catalog.sessions().len(), each.len() + 1);
        assert_eq!(
            num_globbed(&path),
            catalog.num_files(),
            "nothing else is left"
        );
        assert!(!path.join(trace::STAGING_DIR).exists());
    }
}

#[test]
fn so_is_that_of_a_convolutional_network() {
    let dir = tempfile::tempdir().unwrap();
    let convolutional = |mut options: SessionOptions| {
        options.train.channels = vec![3, 4];
        options
    };
    let [whole, interrupted] = ["whole", "interrupted"].map(|name| dir.path().join(name));
    session(&convolutional(options(&whole)), None).unwrap();
    let expected = trace(&whole);
    // As that of three linear layers, with two more.
    assert_eq!(expected.len(), 7 * 12 + 6 * 15 + 15);

    killed_session(&convolutional(options(&interrupted)), 2);
    let (_, from) = session(&convolutional(resuming(&interrupted)), None).unwrap();
    assert_eq!(from, Some((2, 1)));
    let found = trace(&interrupted);
    assert!(found.keys().eq(expected.keys()));
    for (key, rows) in &found {
        assert!(*rows == expected[key], "{key} differs");
    }

    let error = session(&resuming(&whole), None).unwrap_err().to_string();
    let told = "config.train.channels is [3,4] there, and null here";
    assert!(error.contains(told), "{error}");
}

#[test]
fn only_the_newest_saved_state_is_there_and_of_a_finished_run_the_last() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    let every = SessionOptions {
        save_every: "1epoch".parse().unwrap(),
        ..options(&path)
    };
    session(&every, Some(3)).unwrap();
    let saved_states = |path: &Path| {
        let (_, catalog) = open(path);
        let files = catalog.select(Table::Resume.name(), |_, _| true);
        let files = files.into_iter().map(|index| catalog.file(index).epoch);
        files.collect::<Vec<_>>()
    };
    // A file a layer and tensor.
    assert_eq!(saved_states(&path), [3; 9]);
    assert!(!path.join("resume/epoch=2").exists());
    let go_on = SessionOptions {
        resume: true,
        ..every
    };
    session(&go_on, None).unwrap();
    assert_eq!(saved_states(&path), [5; 9]);
    assert!(!path.join("resume/epoch=3").exists());
}

#[test]
fn without_saved_states_it_begins_anew() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    let never = |resume| SessionOptions {
        save_every: SaveEvery::Never,
        resume,
        ..options(&path)
    };
    session(&never(false), Some(3)).unwrap();
    assert!(!path.join("resume").exists());
    let (_, from) = session(&never(true), None).unwrap();
    assert_eq!(from, Some((0, 5)));
    assert!(!path.join("resume").exists());
    let whole = dir.path().join("whole");
    let whole_options = SessionOptions {
        save_every: SaveEvery::Never,
        ..options(&whole)
    };
    session(&whole_options, None).unwrap();
    assert!(trace(&path) == trace(&whole));

    // Nor can it be trained for longer: that would begin anew, over what is there.
    let mut longer = never(true);
    longer.train.epochs += 1;
    let error = session(&longer, None).unwrap_err().to_string();
    assert!(error.contains("kept nothing to go on from"), "{error}");
    assert!(trace(&path) == trace(&whole));
}

/// What is recorded at one epoch's captures.
fn is_of_capture(key: &str, epoch: i32) -> bool {
    let (table, partition) = key.split_once('/').unwrap();
    let of_epoch = partition.starts_with(&format!("epoch={epoch}/"));
    of_epoch && !["metrics", "resume"].contains(&table)
}

#[test]
fn a_finished_run_is_trained_for_longer() {
    let dir = tempfile::tempdir().unwrap();
    // Epochs 0, 2, 4, and the last: 3 of 4, 5 of 6.
    let epochs = |name: &str, epochs, resume| {
        let mut options = options(&dir.path().join(name));
        options.schedule = "2epochs".parse().unwrap();
        options.train.epochs = epochs;
        options.resume = resume;
        options
    };
    session(&epochs("whole", 6, false), None).unwrap();
    let expected = trace(&dir.path().join("whole"));
    for (name, stop) in [
        ("straight", None),
        ("cancelled", Some(Stop::Cancel(4))),
        ("dies", Some(Stop::Die(4))),
    ] {
        session(&epochs(name, 4, false), None).unwrap();
        let path = dir.path().join(name);
        let had = trace(&path);
        let first = stopped_session(&epochs(name, 6, true), stop);
        assert_eq!(first, Some((4, 0)), "{name}");
        if stop.is_some() {
            stopped_session(&epochs(name, 6, true), None).unwrap();
        }
        let found = trace(&path);
        // What was the last epoch's capture stays; else it is the run that was as long from the start.
        let (more, same): (Vec<_>, Vec<_>) =
            found.iter().partition(|(key, _)| is_of_capture(key, 3));
        assert!(!more.is_empty());
        assert!(more.iter().all(|(key, rows)| had[*key] == **rows), "{name}");
        assert!(
            same.iter().map(|(key, _)| *key).eq(expected.keys()),
            "{name}"
        );
        for (key, rows) in same {
            assert!(*rows == expected[key], "{name}: {key} differs");
        }
        let error = session(&epochs(name, 6, true), None).unwrap_err();
        assert!(error.to_string().contains("all 6 epochs"), "{error}");
        // Fewer epochs than it was begun with are other options.
        let error = session(&epochs(name, 3, true), None).unwrap_err();
        assert!(error.to_string().contains("epochs is 4 there, and 3 here"));
    }
}

/// What Ctrl-C writes was handed over when its epoch ended: what is trained since does not change it.
#[test]
fn what_is_held_is_the_network_of_its_moment() {
    use burn::backend::{Autodiff, Flex};

    let dir = tempfile::tempdir().unwrap();
    let options = options(&dir.path().join("run"));
    let TrainConfig {
        seed, batch_size, ..
    } = options.train;
    let dataset = crate::dataset::Dataset::open(&options.dataset, seed, batch_size).unwrap();
    let mut trainer = crate::training::Trainer::<Autodiff<Flex>>::try_new(
        options.train.clone(),
        dataset.into(),
        Default::default(),
        CancelToken::default(),
    )
    .unwrap();
    let builder = crate::TraceRecorder::builder(dir.path().join("run"));
    let mut recorder = builder.start(trainer.trained()).unwrap();
    trainer.run_epoch(Epoch(0)).unwrap();
    let parameters = trainer.model().read_parameters().unwrap();
    let id = CaptureId {
        epoch: Epoch(0),
        step: trainer.step(),
    };
    let held = recorder.train_state(id, trainer.trained(), trainer.optimizer());
    let held = held.unwrap();
    trainer.run_epoch(Epoch(1)).unwrap();
    assert_ne!(trainer.model().read_parameters().unwrap(), parameters);
    recorder.save_state(held).unwrap();
    recorder.finish().unwrap();
    let (run, catalog) = open(&dir.path().join("run"));
    let saved = SavedState::read_newest(&run, &catalog, Rank(0)).unwrap();
    let saved = saved.unwrap();
    assert_eq!((saved.epoch, saved.step), (id.epoch, id.step));
    assert_eq!(saved.updates, id.step.0);
    assert_eq!(saved.parameters, parameters.layers);
}

#[test]
fn a_saved_state_does_not_depend_on_what_is_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let run = |name: &str, stop| {
        let path = dir.path().join(name);
        let few = |resume| SessionOptions {
            recorded: Some(Recorded {
                weights: None,
                activations: None,
                metrics: false,
                units: std::num::NonZeroU32::new(5),
                ..Recorded::DEFAULT
            }),
            schedule: "5epochs".parse().unwrap(),
            record_initial: false,
            resume,
            ..options(&path)
        };
        stopped_session(&few(false), stop);
        if stop.is_some() {
            let (_, from) = session(&few(true), None).unwrap();
            assert_eq!(from, Some((4, 0)));
        }
        path
    };
    let (whole, resumed) = (run("whole", None), run("resumed", Some(Stop::Die(4))));
    // Two captures, and the last saved state's three tensors of three layers.
    assert_eq!(trace(&whole).len(), 2 + 9);
    assert!(trace(&whole) == trace(&resumed));
}

#[test]
fn a_finished_run_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    session(&options(&path), None).unwrap();
    let error = session(&resuming(&path), None).unwrap_err().to_string();
    assert_eq!(
        error,
        format!(
            "{} is finished: all 6 epochs are recorded; ask for more epochs to go on with it",
            path.display()
        )
    );
}

#[test]
fn a_run_that_records_nothing_of_its_last_epoch_is_finished_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    let few = |resume| SessionOptions {
        recorded: Some(Recorded {
            classifications: false,
            activations: None,
            metrics: false,
            ..Recorded::DEFAULT
        }),
        schedule: "0,1".parse().unwrap(),
        record_initial: false,
        resume,
        ..options(&path)
    };
    session(&few(false), None).unwrap();
    let error = session(&few(true), None).unwrap_err().to_string();
    assert!(error.contains("is finished"), "{error}");
    assert_eq!(open(&path).1.captures().len(), 2);
}

#[test]
fn what_was_changed_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    session(&options(&path), Some(2)).unwrap();
    type Change = fn(&mut SessionOptions);
    let changes: [(Change, &str); 5] = [
        (
            |o| o.train.hidden = vec![16, 13],
            "config.train.hidden is [16,12] there, and [16,13] here",
        ),
        (
            |o| o.train.epochs = 5,
            "config.train.epochs is 6 there, and 5 here",
        ),
        (
            |o| o.train.seed = 7,
            "config.train.seed is 42 there, and 7 here",
        ),
        (
            |o| o.record_initial = false,
            "config.record_initial is true there, and false here",
        ),
        (|o| o.world_size = 2, "world_size is 1 there, and 2 here"),
    ];
    for (change, says) in changes {
        let mut changed = resuming(&path);
        change(&mut changed);
        let error = session(&changed, None).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
    // What changes nothing that is recorded may be another.
    let mut changed = resuming(&path);
    changed.channel_bytes = Some(1 << 20);
    changed.compress = Some(sink::Compress::Size);
    changed.save_every = SaveEvery::Never;
    session(&changed, None).unwrap();
}

/// Whether weights of an epoch are compressed: the first layer's are 16 lists of 64.
fn are_weights_compressed(path: &Path, epoch: i32) -> bool {
    let (run, catalog) = open(path);
    let is_first = |file: &trace::CommittedFile<'_>| {
        let of = (file.table, file.layer, file.epoch);
        of == (Table::Weights.name(), Some("L_input"), epoch)
    };
    let file = catalog.files().find(is_first).unwrap();
    let file = std::fs::File::open(run.path().join(file.path)).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let columns = reader.metadata().row_group(0).columns();
    let lists = columns
        .iter()
        .find(|column| column.column_path().string() == "weights.list.item");
    lists.unwrap().compression() != parquet::basic::Compression::UNCOMPRESSED
}

#[test]
fn a_resumed_run_is_compressed_as_before_unless_it_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    let mut begun = options(&path);
    begun.compress = Some(sink::Compress::Size);
    session(&begun, Some(1)).unwrap();
    session(&resuming(&path), Some(2)).unwrap();
    let mut said = resuming(&path);
    said.compress = Some(sink::Compress::None);
    session(&said, Some(3)).unwrap();
    session(&resuming(&path), None).unwrap();
    let compressed: Vec<bool> = (0..EPOCHS)
        .map(|epoch| are_weights_compressed(&path, epoch))
        .collect();
    let expected: Vec<bool> = (0..EPOCHS).map(|epoch| epoch < 3).collect();
    assert_eq!(compressed, expected);
    let (_, catalog) = open(&path);
    let said: Vec<_> = catalog
        .sessions()
        .iter()
        .map(|session| &session.config["compress"])
        .collect();
    assert_eq!(said, ["size", "size", "none", "none"]);
}

#[test]
fn a_damaged_saved_state_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    session(&options(&path), Some(2)).unwrap();
    let (run, catalog) = open(&path);
    let files = catalog.select(Table::Resume.name(), |_, _| true);
    let file = run.path().join(catalog.file(files[4]).path);
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let error = session(&resuming(&path), None).unwrap_err().to_string();
    assert!(error.contains("is damaged"), "{error}");
    // Nothing was retired for it.
    assert_eq!(open(&path).1.captures().len(), 4);
}

#[test]
fn a_run_that_is_being_recorded_is_not_resumed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    session(&options(&path), Some(2)).unwrap();
    let (run, _) = open(&path);
    let _lock = run.lock_writer(Rank(0)).unwrap();
    let error = session(&resuming(&path), None).unwrap_err().to_string();
    assert!(
        error.contains("is being written by another process"),
        "{error}"
    );
}

#[test]
fn there_must_be_a_run_to_resume() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    let error = session(&resuming(&path), None).unwrap_err().to_string();
    assert!(error.starts_with("there is no run at "), "{error}");
    assert!(!path.exists());
}

/// The options of one of two ranks.
fn of_two(out: &Path, rank: i32) -> SessionOptions {
    SessionOptions {
        rank: Rank(rank),
        world_size: 2,
        ..options(out)
    }
}

#[test]
fn the_trace_of_two_ranks_is_that_of_one() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    session(&options(&one), None).unwrap();
    std::thread::scope(|scope| {
        let ranks = [1, 0].map(|rank| {
            let options = of_two(&two, rank);
            scope.spawn(move || session(&options, None).unwrap())
        });
        for rank in ranks {
            rank.join().unwrap();
        }
    });
    assert_eq!(open(&one).1.captures().len(), 7);
    assert_eq!(open(&two).1.captures().len(), 7);
    assert!(trace(&one) == trace(&two));
    let (_, catalog) = open(&two);
    let by_rank = |rank: i32| {
        let files = catalog.files().filter(|file| {
            let part: PartPath = file.path.parse().unwrap();
            part.rank == Rank(rank) && part.table == Table::Weights
        });
        files.count()
    };
    // Of three layers rank 0 has the first and the third.
    assert_eq!((by_rank(0), by_rank(1)), (14, 7));
}

/// The checksum of a network, by what a run of one rank has recorded of it: Burn keeps a linear
/// layer's weights the other way round.
fn parameters_crc32c(path: &Path, epoch: i32) -> f64 {
    let (run, _) = open(path);
    let mut all = Vec::new();
    for layer in run.info().layers.layers() {
        let label = Some(layer.layer.as_str());
        let rows = crate::testing::read_part(path, Table::Weights, epoch, label).unwrap();
        let lists = rows["weights"].as_list::<i32>().values();
        let weights = lists.as_primitive::<Float32Type>().values();
        let (num_units, fan_in) = (layer.num_units as usize, layer.fan_in as usize);
        let by_input = (0..fan_in).flat_map(|i| (0..num_units).map(move |u| u * fan_in + i));
        let bias = rows["bias"].as_primitive::<Float32Type>().values();
        let values = by_input.map(|at| weights[at]).chain(bias.iter().copied());
        let bytes: Vec<u8> = values.flat_map(f32::to_le_bytes).collect();
        all.extend(trace::Crc32c::of(&bytes).0.to_le_bytes());
    }
    trace::Crc32c::of(&all).0.into()
}

#[test]
fn ranks_say_which_weights_they_hold() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    let of_weights = |mut options: SessionOptions| {
        options.train.epochs = 2;
        options.record_initial = false;
        options.recorded = Some(Recorded {
            activations: None,
            classifications: false,
            units: std::num::NonZeroU32::new(3),
            ..Recorded::DEFAULT
        });
        options
    };
    let mut alone = of_weights(options(&one));
    alone.recorded.as_mut().unwrap().units = None;
    session(&alone, None).unwrap();
    for rank in [0, 1] {
        session(&of_weights(of_two(&two, rank)), None).unwrap();
    }
    let said = |path: &Path, epoch| {
        let mut said = Vec::new();
        for rows in crate::testing::read_parts(path, Table::Metrics, epoch, None) {
            let ranks = rows["rank"]
                .as_primitive::<arrow::datatypes::Int32Type>()
                .values();
            let values = rows["value"]
                .as_primitive::<arrow::datatypes::Float64Type>()
                .values();
            let names = rows["name"].as_string::<i32>();
            let names = names.iter().enumerate();
            let found = names.filter(|(_, name)| *name == Some(trace::PARAMETERS_CRC32C));
            said.extend(found.map(|(row, _)| (ranks[row], values[row])));
        }
        said.sort_by_key(|(rank, _)| *rank);
        said
    };
    for epoch in 0..2 {
        let expected = parameters_crc32c(&one, epoch);
        assert_eq!(said(&two, epoch), [(0, expected), (1, expected)]);
        // One rank alone is compared with none.
        assert_eq!(said(&one, epoch), []);
    }
    assert_ne!(parameters_crc32c(&one, 0), parameters_crc32c(&one, 1));
    let report = sink::verify(&open(&two).0, &|_| {}).unwrap();
    assert_eq!(report.problems, []);
}

#[test]
fn a_rank_that_was_interrupted_is_resumed_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    session(&options(&one), None).unwrap();
    session(&of_two(&two, 0), None).unwrap();
    session(&of_two(&two, 1), Some(2)).unwrap();
    // Epochs -1 to 2 are whole.
    assert_eq!(open(&two).1.captures().len(), 4);
    let again = SessionOptions {
        resume: true,
        ..of_two(&two, 1)
    };
    let (_, from) = session(&again, None).unwrap();
    assert_eq!(from, Some((3, 0)));
    assert!(trace(&one) == trace(&two));
    let error = session(&again, None).unwrap_err().to_string();
    assert!(error.contains("is finished"), "{error}");
}

#[test]
fn a_rank_joins_only_a_run_of_its_own_kind() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    session(&of_two(&path, 0), None).unwrap();
    let mut other = of_two(&path, 1);
    other.train.learning_rate = 0.5;
    let error = session(&other, None).unwrap_err().to_string();
    assert!(
        error.contains("config.train.learning_rate is 0.001 there, and 0.5 here"),
        "{error}"
    );
    session(&of_two(&path, 1), None).unwrap();
    let error = session(&of_two(&path, 1), None).unwrap_err().to_string();
    assert!(error.contains("--resume goes on with it"), "{error}");
}

#[test]
fn a_rank_does_not_wait_forever() {
    let dir = tempfile::tempdir().unwrap();
    let one = dir.path().join("one");
    session(&options(&one), Some(0)).unwrap();
    let info = open(&one).0.info().clone();
    let path = dir.path().join("run");
    let (rank, cancel) = (Rank(1), CancelToken::default());
    let error = join(
        &path,
        &info,
        rank,
        DATA_RULES,
        &cancel,
        Duration::from_millis(50),
    )
    .unwrap_err();
    let error = error.to_string();
    assert!(error.starts_with("rank 1 waited "), "{error}");
    // Who stops it need not wait either.
    cancel.cancel();
    assert!(
        join(
            &path,
            &info,
            rank,
            DATA_RULES,
            &cancel,
            Duration::from_secs(600)
        )
        .is_err()
    );
}
