use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Instant;

use sink::SinkError;
use trace::{FORMAT_VERSION, Layer, LayerLabel, Nonce, RunInfo};

use super::*;
use crate::layout::{Layout, UnitRows};
use crate::rows::SampleSet;

const NUM_UNITS: usize = 3;
const FAN_IN: usize = 2;

/// Two layers in a framework's order `[in, units]`. That of the first is told wrongly where it is to be a bug.
fn layers(is_bug: bool) -> Arc<NetworkLayers> {
    let layer = |index: u32, name: &str| Layer {
        layer_index: index,
        layer: LayerLabel::try_new(name).unwrap(),
        module_path: name.to_owned(),
        kind: "linear".to_owned(),
        shape: vec![NUM_UNITS as u64, FAN_IN as u64],
        fan_in: FAN_IN as u32,
        num_units: NUM_UNITS as u32,
        first_neuron: NUM_UNITS as i32 * index.cast_signed(),
        activation: None,
        trainable: true,
        source: None,
        tensors: Vec::new(),
        recorded_units: None,
    };
    let topology = Topology::try_new(vec![layer(0, "A"), layer(1, "B")]).unwrap();
    let rows = |units| UnitRows::new(Layout::Columns, vec![FAN_IN, units]);
    let of_first = if is_bug { NUM_UNITS + 1 } else { NUM_UNITS };
    Arc::new(NetworkLayers::new(
        topology,
        vec![rows(of_first), rows(NUM_UNITS)],
    ))
}

fn create(dir: &Path, layers: &NetworkLayers) -> RunDir {
    let info = RunInfo {
        format: FORMAT_VERSION,
        run_id: Nonce::draw().unwrap(),
        created: "2026-01-01T00:00:00.000Z".to_owned(),
        created_by: "capture tests".to_owned(),
        seed: None,
        device: "cpu".to_owned(),
        world_size: 1,
        model: serde_json::Value::Null,
        dataset: None,
        evaluation_batch_size: None,
        class_names: Vec::new(),
        layers: layers.topology().clone(),
        config: serde_json::json!({}),
    };
    RunDir::create(&dir.join("run"), info).unwrap()
}

/// Values that are on the host already; notes for how many bytes there was room.
struct Ready {
    values: VecDeque<Values>,
    rooms: Arc<Mutex<Vec<u64>>>,
}

impl Source for Ready {
    fn parts(&self) -> Vec<UnreadPart> {
        Vec::new()
    }

    fn read(&mut self, room: u64) -> Result<Vec<Values>, BoxError> {
        self.rooms.lock().unwrap().push(room);
        Ok(self.values.pop_front().into_iter().collect())
    }

    fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

fn weights(layer: usize, num_values: usize) -> Values {
    Values::Parameters {
        kind: TensorKind::Weights,
        layer,
        weight: vec![0.5; num_values],
        bias: Some(vec![0.25; NUM_UNITS]),
    }
}

/// How everything is recorded, of one epoch.
fn plan() -> Plan {
    Plan {
        recorded: Recorded {
            classifications: false,
            ..Recorded::DEFAULT
        },
        selected: vec![true; 2],
        schedule: Schedule::default(),
        last_epoch: Some(Epoch(0)),
        origin: Origin::default(),
        limits: Limits::default(),
        owner_reports: false,
    }
}

/// Records one capture of these values; gives for how many bytes there was room at each read.
fn record(
    run: &RunDir,
    layers: Arc<NetworkLayers>,
    values: Vec<Values>,
    channel_bytes: u64,
) -> (Result<RecordSummary, RecordError>, Vec<u64>) {
    let options = SinkOptions {
        channel_bytes,
        num_workers: 1,
        ..SinkOptions::default()
    };
    let rooms = Arc::<Mutex<Vec<u64>>>::default();
    let network = Ready {
        values: values.into(),
        rooms: Arc::clone(&rooms),
    };
    let id = CaptureId {
        epoch: Epoch(0),
        step: Step(1),
    };
    let mut recording = Recording::start(run, layers, plan(), options).unwrap();
    let network: Box<dyn Source> = Box::new(network);
    let handed_over = recording.hand_over(id, true, Some(network), Instant::now());
    let result = handed_over.and_then(|_| recording.finish());
    let rooms = rooms.lock().unwrap().clone();
    (result, rooms)
}

#[test]
fn what_is_read_leaves_as_much_room_for_its_rows() {
    const CHANNEL_BYTES: u64 = 1 << 20;
    let dir = tempfile::tempdir().unwrap();
    let layers = layers(false);
    let run = create(dir.path(), &layers);
    let activations = Values::Activations {
        layer: 1,
        samples: SampleSet::HELD_OUT,
        values: vec![1.0; 4 * NUM_UNITS],
    };
    let values = vec![
        weights(0, NUM_UNITS * FAN_IN),
        weights(1, NUM_UNITS * FAN_IN),
        activations,
    ];
    let (result, rooms) = record(&run, layers, values, CHANNEL_BYTES);
    let stats = result.unwrap().sink;
    assert_eq!(rooms.len(), 3);
    assert_eq!(rooms[0], CHANNEL_BYTES / 2);
    assert!(rooms.iter().all(|room| *room <= CHANNEL_BYTES / 2));
    assert_eq!(stats.num_captures, 1);
    assert!(stats.make_ms > 0.0);
    // None of them took its budget with it.
    let catalog = trace::Catalog::load(&run).unwrap();
    let tables: Vec<&str> = catalog.files().map(|file| file.table).collect();
    for (table, num_files) in [("weights", 2), ("activations", 1)] {
        let of_table = tables.iter().filter(|other| **other == table);
        assert_eq!(of_table.count(), num_files, "{table}");
    }
}

#[test]
fn a_channel_that_has_room_for_nothing_still_records_everything() {
    let dir = tempfile::tempdir().unwrap();
    let layers = layers(false);
    let run = create(dir.path(), &layers);
    let values = (0..2).map(|layer| weights(layer, NUM_UNITS * FAN_IN));
    let (result, rooms) = record(&run, layers, values.collect(), 1);
    assert_eq!(result.unwrap().num_captures, 1);
    assert_eq!(rooms, [0, 0]);
}

/// The thread that fails is the one that makes them.
#[test]
fn rows_are_made_by_the_sinks_workers() {
    let dir = tempfile::tempdir().unwrap();
    let layers = layers(true);
    let run = create(dir.path(), &layers);
    let values = vec![weights(0, NUM_UNITS * FAN_IN)];
    let (result, _) = record(&run, layers, values, 1 << 20);
    let error = result.unwrap_err();
    let RecordError::Sink(SinkError::Panicked { thread, .. }) = &error else {
        panic!("{error}");
    };
    assert_eq!(thread, "sink-worker-0");
    assert_eq!(trace::Catalog::load(&run).unwrap().captures().len(), 0);
}

#[test]
fn values_of_another_layer_are_an_error_with_path_and_cause() {
    let dir = tempfile::tempdir().unwrap();
    let layers = layers(false);
    let run = create(dir.path(), &layers);
    let (result, _) = record(&run, layers, vec![weights(1, 5)], 1 << 20);
    let error = result.unwrap_err();
    let path = run
        .path()
        .join("weights/epoch=0/layer=B/step-1-r0-g0.parquet");
    assert_eq!(
        error.to_string(),
        format!("cannot make the rows of the part file {}", path.display())
    );
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(
        cause,
        "layer B has 3 units with 2 weights each, and 5 were read"
    );
}

/// A device that is not there any more.
struct Gone {
    panics: bool,
}

impl Source for Gone {
    fn parts(&self) -> Vec<UnreadPart> {
        Vec::new()
    }

    fn read(&mut self, _: u64) -> Result<Vec<Values>, BoxError> {
        assert!(!self.panics, "the device is gone");
        Err("the device is gone".into())
    }

    fn is_empty(&self) -> bool {
        false
    }
}

#[test]
fn only_a_recording_that_was_finished_with_everything_recorded_says_so() {
    let ready = |layer, num_values| -> Box<dyn Source> {
        Box::new(Ready {
            values: vec![weights(layer, num_values)].into(),
            rooms: Arc::default(),
        })
    };
    let whole = NUM_UNITS * FAN_IN;
    type Finish = fn(Recording) -> bool;
    let finish: Finish = |recording| recording.finish().is_ok();
    let dropped: Finish = |recording| {
        drop(recording);
        true
    };
    let unwound: Finish = |recording| {
        let thread = std::thread::spawn(move || {
            let _recording = recording;
            panic!("training failed");
        });
        thread.join().is_err()
    };
    let finished = trace::Ending::Finished;
    let not_finished = trace::Ending::NotFinished;
    let gone = |panics| -> Box<dyn Source> { Box::new(Gone { panics }) };
    for (how, second, on_error, end, is_ok, expected) in [
        (
            "finished",
            ready(1, whole),
            OnError::Stop,
            finish,
            true,
            finished,
        ),
        (
            "a read fails",
            gone(false),
            OnError::Stop,
            finish,
            false,
            not_finished,
        ),
        (
            "a panic",
            gone(true),
            OnError::Stop,
            finish,
            false,
            not_finished,
        ),
        (
            "a panic",
            gone(true),
            OnError::Continue,
            finish,
            true,
            not_finished,
        ),
        (
            "bad rows",
            ready(1, 5),
            OnError::Continue,
            finish,
            true,
            not_finished,
        ),
        (
            "dropped",
            ready(1, whole),
            OnError::Stop,
            dropped,
            true,
            not_finished,
        ),
        (
            "unwound",
            ready(1, whole),
            OnError::Stop,
            unwound,
            true,
            not_finished,
        ),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let layers = layers(false);
        let run = create(dir.path(), &layers);
        let mut plan = plan();
        plan.limits.on_error = on_error;
        let mut recording = Recording::start(&run, layers, plan, SinkOptions::default()).unwrap();
        for (step, network) in [(1, ready(0, whole)), (2, second)] {
            let id = CaptureId {
                epoch: Epoch(0),
                step: Step(step),
            };
            let captured = recording.hand_over(id, true, Some(network), Instant::now());
            assert!(captured.unwrap(), "{how}");
        }
        assert_eq!(end(recording), is_ok, "{how}");
        let catalog = trace::Catalog::load(&run).unwrap();
        assert_eq!(catalog.captures()[0].id.step, Step(1), "{how}");
        assert_eq!(catalog.ending(1), expected, "{how}");
    }
}

mod room;
mod slow;
