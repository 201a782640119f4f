//! The device fails while it is recorded. What went wrong with training's own kernels is told to
//! whoever reads next, and that is the recorder.

use std::panic::{AssertUnwindSafe, catch_unwind};

use burn::optim::SgdConfig;

use super::*;
use crate::optimizer::{RecordedOptimizer, SharedRecorder};
use crate::testing::failing::{Failing, fail};

/// Goes on where recording fails.
fn start(run: &Path, network: &Steps<Failing>, schedule: &str) -> TraceRecorder<Failing> {
    let recorded = Recorded {
        metrics: false,
        ..Recorded::DEFAULT
    };
    let builder = TraceRecorder::builder(run).record(recorded);
    let builder = builder.schedule(schedule.parse().unwrap());
    let model = network.model.as_ref().unwrap();
    builder.on_error(OnError::Continue).start(model).unwrap()
}

fn captures(run: &Path) -> Vec<(i32, i64)> {
    let committed = trace::Catalog::load(&RunDir::open(run).unwrap()).unwrap();
    let committed = committed.captures().iter();
    committed.map(|c| (c.id.epoch.0, c.id.step.0)).collect()
}

#[test]
fn its_failure_ends_training_although_errors_of_recording_do_not() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    let mut network = Steps::<Failing>::new(&Default::default());
    network.step(1);
    let mut recorder = start(&run, &network, "1epoch");
    let mut capture = |epoch: i32| {
        let model = network.model.as_ref().unwrap();
        let captured = recorder.capture(model, epoch, i64::from(epoch) + 1);
        network.step(1);
        captured
    };
    // The second waits until the first is on the host.
    assert!(capture(0).unwrap() && capture(1).unwrap());
    fail();
    let error = (2..6).find_map(|epoch| capture(epoch).err()).unwrap();
    assert!(matches!(error, RecordError::Device(_)), "{error}");
    assert!(
        error
            .with_causes()
            .contains("a kernel could not be launched"),
        "{}",
        error.with_causes()
    );
    // It stays an error.
    assert!(matches!(capture(9), Err(RecordError::Stopped)));
    // Nobody else would have heard of it.
    network.read();
    assert!(recorder.check_device().is_err());
    assert!(recorder.failure().is_none());
    let finished = recorder.finish();
    assert!(
        matches!(finished, Err(RecordError::Stopped)),
        "{finished:?}"
    );
    assert_eq!(captures(&run)[0], (0, 1));
}

#[test]
fn its_failure_is_told_where_no_capture_is_due() {
    let dir = tempfile::tempdir().unwrap();
    for is_step in [false, true] {
        let run = dir.path().join(format!("{is_step}"));
        let mut network = Steps::<Failing>::new(&Default::default());
        network.step(1);
        let mut recorder = start(&run, &network, "100000epochs");
        let model = network.model.as_ref().unwrap();
        fail();
        assert!(recorder.capture(model, 0, 1).unwrap());
        let start = Instant::now();
        let error = (2..).find_map(|step| {
            assert!(start.elapsed() < LIMIT, "it is told soon");
            std::thread::sleep(Duration::from_millis(1));
            match is_step {
                false => recorder.capture(model, step - 1, step.into()),
                true => recorder.capture_step(model, 1, step.into()),
            }
            .map(|is_captured| assert!(!is_captured))
            .err()
        });
        assert!(matches!(error, Some(RecordError::Device(_))), "{error:?}");
    }
}

#[test]
fn its_failure_is_what_finish_returns() {
    let dir = tempfile::tempdir().unwrap();
    let mut network = Steps::<Failing>::new(&Default::default());
    network.step(1);
    let mut recorder = start(&dir.path().join("run"), &network, "1epoch");
    fail();
    let model = network.model.as_ref().unwrap();
    assert!(recorder.capture(model, 0, 1).unwrap());
    let finished = recorder.finish();
    assert!(
        matches!(finished, Err(RecordError::Device(_))),
        "{finished:?}"
    );
}

/// As it would where Burn reads: an optimizer has no other way to say so.
#[test]
fn its_failure_panics_in_a_step_of_a_recorded_optimizer() {
    let dir = tempfile::tempdir().unwrap();
    let mut network = Steps::<Failing>::new(&Default::default());
    network.step(1);
    let shared = SharedRecorder::new(start(&dir.path().join("run"), &network, "1epoch"), 1);
    let mut optimizer = shared.optimizer(SgdConfig::new().init());
    let mut model = network.model.take();
    let inputs = network.inputs.clone();
    let mut step = || {
        let trained = model.take().unwrap();
        let outputs = trained.forward(Tensor::from_inner(inputs.clone()));
        let gradients = GradientsParams::from_grads(outputs.mean().backward(), &trained);
        let optimizer: &mut RecordedOptimizer<_, _, Autodiff<Failing>> = &mut optimizer;
        model = Some(optimizer.step(0.01, trained, gradients));
    };
    step();
    step();
    fail();
    let panicked = catch_unwind(AssertUnwindSafe(|| (0..6).for_each(|_| step())));
    let message = panicked.unwrap_err().downcast::<String>().unwrap();
    assert!(message.starts_with("the device failed"), "{message}");
    assert!(matches!(shared.finish(), Err(RecordError::Stopped)));
}
