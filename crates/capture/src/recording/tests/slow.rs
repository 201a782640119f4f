//! A sink that is far slower than training: memory stays bounded, nobody hangs, and whoever stops training
//! waits for what is on the way and no more.

use std::sync::Condvar;
use std::sync::mpsc;
use std::time::Duration;

use sink::BeforeWrite;
use trace::{Catalog, Ending};

use super::*;
use crate::MaxOverhead;

/// Nothing here takes as long: whoever waits for more hangs.
const PATIENCE: Duration = Duration::from_secs(60);
const NUM_EPOCHS: i32 = 60;
/// Units of each of two layers, and weights of a unit.
const UNITS: usize = 64;
const WEIGHTS: usize = 16;
/// What the values of a capture take, at least.
const CAPTURE_BYTES: u64 = 2 * (UNITS * WEIGHTS * size_of::<f32>()) as u64;
/// Room for a few captures.
const CHANNEL_BYTES: u64 = 8 * CAPTURE_BYTES;
const NUM_WORKERS: usize = 2;
/// Part files of a capture: of two layers, and metrics.
const NUM_PARTS: u64 = 3;

fn wide() -> Arc<NetworkLayers> {
    let layer = |index: u32, name: &str| Layer {
        layer_index: index,
        layer: LayerLabel::try_new(name).unwrap(),
        module_path: name.to_owned(),
        kind: "linear".to_owned(),
        shape: vec![UNITS as u64, WEIGHTS as u64],
        fan_in: WEIGHTS as u32,
        num_units: UNITS as u32,
        first_neuron: UNITS as i32 * index.cast_signed(),
        activation: None,
        trainable: true,
        source: None,
        tensors: Vec::new(),
        recorded_units: None,
    };
    let topology = Topology::try_new(vec![layer(0, "A"), layer(1, "B")]).unwrap();
    let rows = || UnitRows::new(Layout::Columns, vec![WEIGHTS, UNITS]);
    Arc::new(NetworkLayers::new(topology, vec![rows(), rows()]))
}

fn network() -> Box<dyn Source> {
    let weights = |layer| Values::Parameters {
        kind: TensorKind::Weights,
        layer,
        weight: vec![0.5; UNITS * WEIGHTS],
        bias: Some(vec![0.25; UNITS]),
    };
    Box::new(Ready {
        values: (0..2).map(weights).collect(),
        rooms: Arc::default(),
    })
}

/// Lets so many part files be written, and notes how many were.
#[derive(Default)]
struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Default)]
struct GateState {
    allowed: u64,
    written: u64,
}

impl Gate {
    fn hook(self: &Arc<Self>) -> BeforeWrite {
        let gate = Arc::clone(self);
        BeforeWrite(Arc::new(move |_| {
            let state = gate.state.lock().unwrap();
            let closed = |state: &mut GateState| state.written >= state.allowed;
            let waited = gate.changed.wait_timeout_while(state, PATIENCE, closed);
            let (mut state, result) = waited.unwrap();
            state.written += 1;
            match result.timed_out() {
                false => Ok(()),
                true => Err(std::io::ErrorKind::TimedOut.into()),
            }
        }))
    }

    fn allow(&self, more: u64) {
        let mut state = self.state.lock().unwrap();
        state.allowed = state.allowed.saturating_add(more);
        self.changed.notify_all();
    }

    fn written(&self) -> u64 {
        self.state.lock().unwrap().written
    }
}

struct Slow {
    run: RunDir,
    gate: Arc<Gate>,
    /// Captures that were handed over.
    handed_over: Arc<AtomicU64>,
    /// Says that training has ended, then what was recorded.
    trained: mpsc::Receiver<()>,
    ended: mpsc::Receiver<RecordSummary>,
    _dir: tempfile::TempDir,
}

/// Trains on a thread of its own, until the epochs end or `stop` says so, and finishes.
fn train(when_full: WhenFull, stop: Arc<AtomicBool>) -> Slow {
    let dir = tempfile::tempdir().unwrap();
    let layers = wide();
    let run = create(dir.path(), &layers);
    let gate = Arc::new(Gate::default());
    let mut plan = plan();
    plan.last_epoch = None;
    plan.limits.when_full = when_full;
    if when_full == WhenFull::Thin {
        plan.limits.max_overhead = Some("50%".parse::<MaxOverhead>().unwrap());
    }
    let options = SinkOptions {
        channel_bytes: CHANNEL_BYTES,
        num_workers: NUM_WORKERS,
        before_write: Some(gate.hook()),
        ..SinkOptions::default()
    };
    let mut recording = Recording::start(&run, layers, plan, options).unwrap();
    let handed_over = Arc::new(AtomicU64::new(0));
    let (say_trained, trained) = mpsc::channel();
    let (say_ended, ended) = mpsc::channel();
    let counter = Arc::clone(&handed_over);
    std::thread::spawn(move || {
        for epoch in 0..NUM_EPOCHS {
            if stop.load(Ordering::SeqCst) {
                break;
            }
            let id = CaptureId {
                epoch: Epoch(epoch),
                step: Step(i64::from(epoch) + 1),
            };
            let start = recording.begin_call();
            let network = match recording.decide(id, true).unwrap() {
                Decision::Capture => Some(network()),
                _ => None,
            };
            let captured = recording.hand_over(id, true, network, start).unwrap();
            counter.fetch_add(u64::from(captured), Ordering::SeqCst);
        }
        // Whoever asked may have failed.
        let _ = say_trained.send(());
        let _ = say_ended.send(recording.finish().unwrap());
    });
    Slow {
        run,
        gate,
        handed_over,
        trained,
        ended,
        _dir: dir,
    }
}

/// The most captures that are handed over while so many part files were written: those that the channel has
/// room for and one of which a part is written, one that is read, and one that waits in the hand-off.
fn most_captures(num_written: u64) -> u64 {
    num_written.div_ceil(NUM_PARTS) + CHANNEL_BYTES / CAPTURE_BYTES + 3
}

#[test]
fn a_training_that_blocks_goes_on_part_by_part_and_holds_no_more_than_the_channel() {
    let slow = train(WhenFull::Block, Arc::default());
    // As slowly as it likes: one part file after the other, each once training can go no further.
    let start = Instant::now();
    let mut num_stalls = 0;
    while slow.trained.try_recv().is_err() {
        assert!(start.elapsed() < PATIENCE, "training hangs");
        let handed_over = slow.handed_over.load(Ordering::SeqCst);
        let most = most_captures(slow.gate.written());
        assert!(
            handed_over <= most,
            "{handed_over} captures, {most} at most"
        );
        std::thread::sleep(Duration::from_millis(1));
        num_stalls += u64::from(handed_over == slow.handed_over.load(Ordering::SeqCst));
        slow.gate.allow(1);
    }
    assert!(num_stalls > 0);
    slow.gate.allow(u64::MAX);
    let summary = slow.ended.recv_timeout(PATIENCE).expect("it ends");
    assert_eq!(summary.num_captures, u64::from(NUM_EPOCHS.unsigned_abs()));
    let most = summary.sink.queue_high_water_bytes;
    assert!(most <= CHANNEL_BYTES, "{most}");
    let catalog = Catalog::load(&slow.run).unwrap();
    assert_eq!(catalog.captures().len(), NUM_EPOCHS as usize);
    assert_eq!(catalog.ending(1), Ending::Finished);
}

#[test]
fn a_training_that_drops_captures_does_not_wait_for_a_disk_that_hangs() {
    let slow = train(WhenFull::Drop, Arc::default());
    // Not one part file is written.
    slow.trained
        .recv_timeout(PATIENCE)
        .expect("training waits for nothing");
    assert_eq!(slow.gate.written(), 0);
    let handed_over = slow.handed_over.load(Ordering::SeqCst);
    assert!(handed_over <= most_captures(0), "{handed_over}");
    slow.gate.allow(u64::MAX);
    let summary = slow.ended.recv_timeout(PATIENCE).expect("it ends");
    assert_eq!(summary.num_captures, handed_over);
    let num_epochs: u64 = u64::from(NUM_EPOCHS.unsigned_abs());
    assert_eq!(summary.num_captures + summary.dropped_captures, num_epochs);
    assert!(summary.sink.queue_high_water_bytes <= CHANNEL_BYTES);
    // The figures of those that were dropped are there.
    let catalog = Catalog::load(&slow.run).unwrap();
    let metrics = catalog.files().filter(|file| file.table == "metrics");
    let epochs: std::collections::BTreeSet<i32> = metrics.map(|file| file.epoch).collect();
    assert_eq!(epochs.len(), NUM_EPOCHS as usize);
}

#[test]
fn a_training_that_thins_captures_out_ends_on_a_slow_disk() {
    let slow = train(WhenFull::Thin, Arc::default());
    let start = Instant::now();
    while slow.trained.try_recv().is_err() {
        assert!(start.elapsed() < PATIENCE, "training hangs");
        std::thread::sleep(Duration::from_millis(1));
        slow.gate.allow(1);
    }
    slow.gate.allow(u64::MAX);
    let summary = slow.ended.recv_timeout(PATIENCE).expect("it ends");
    let num_epochs: u64 = u64::from(NUM_EPOCHS.unsigned_abs());
    assert_eq!(summary.num_captures + summary.thinned_captures, num_epochs);
    assert!(summary.sink.queue_high_water_bytes <= CHANNEL_BYTES);
}

/// What Ctrl-C does: training hands nothing over any more, and the recording is finished.
#[test]
fn whoever_stops_training_waits_for_what_is_on_the_way_and_no_more() {
    let stop = Arc::new(AtomicBool::new(false));
    let slow = train(WhenFull::Block, Arc::clone(&stop));
    slow.gate.allow(NUM_PARTS);
    let start = Instant::now();
    while slow.gate.written() < NUM_PARTS {
        assert!(start.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(1));
    }
    stop.store(true, Ordering::SeqCst);
    // What is on the way, a capture that was about to be handed over, and what recording cost.
    let bound = (most_captures(NUM_PARTS) + 1) * NUM_PARTS + 1;
    slow.gate.allow(bound - NUM_PARTS);
    let summary = slow.ended.recv_timeout(PATIENCE).expect("it ends");
    let num_epochs: u64 = u64::from(NUM_EPOCHS.unsigned_abs());
    assert!(summary.num_captures < num_epochs, "it was stopped");
    assert_eq!(
        Catalog::load(&slow.run).unwrap().captures().len() as u64,
        summary.num_captures
    );
}
