//! Devices and disks that fail, and somebody who cancels: what was captured before stays.

use burn::backend::Flex;
use capture::{OnError, RecordError};

use super::*;
use crate::session::recording::Recording;
use crate::testing::failing::{Failing, fail};
use crate::training::EpochOutcome;

/// The device fails after an epoch.
struct FailsAfter(i32);

impl SessionObserver for FailsAfter {
    fn started(&mut self, _: &Resolution, _: Option<&Path>) {}
    fn epoch_done(&mut self, progress: &EpochProgress) {
        if progress.train.epoch == Epoch(self.0) {
            fail();
        }
    }
}

#[test]
fn a_failure_of_the_device_stops_training_although_errors_of_recording_do_not() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    // Inside of an epoch nobody reads but the recorder.
    let weights_alone = Recorded {
        classifications: false,
        activations: None,
        metrics: false,
        ..Recorded::DEFAULT
    };
    let mut options = options(&run, Some(weights_alone));
    options.schedule = "1step".parse().unwrap();
    options.limits.on_error = OnError::Continue;
    let resolution = options.device.resolve().unwrap();
    let cancel = CancelToken::default();
    let session =
        Session::<Autodiff<Failing>>::try_new(&options, &resolution, Default::default(), &cancel);
    let error = session.unwrap().run(&mut FailsAfter(0)).unwrap_err();
    let SessionError::Record {
        source: RecordError::Device(_),
        ..
    } = error
    else {
        panic!("{error}")
    };
    // The last step's capture may not have been read when the device failed.
    let catalog = Catalog::load(&RunDir::open(&run).unwrap()).unwrap();
    let num_captures = catalog.captures().len();
    assert!(num_captures >= 23, "{num_captures}");
}

#[test]
fn a_failing_disk_stops_training_and_spares_what_was_committed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    let mut options = options(&path, Some(EVERYTHING));
    options.train.epochs = 200;
    /// Takes the staging directory away after some epochs.
    struct Saboteur<'a>(&'a Path);
    impl SessionObserver for Saboteur<'_> {
        fn started(&mut self, _: &Resolution, _: Option<&Path>) {}
        fn epoch_done(&mut self, progress: &EpochProgress) {
            if progress.train.epoch.0 == 20 {
                std::fs::rename(self.0.join(".staging"), self.0.join("taken away")).unwrap();
                std::fs::write(self.0.join(".staging"), "in the way").unwrap();
            }
        }
    }
    let error = train(&options, &CancelToken::default(), &mut Saboteur(&path)).unwrap_err();
    let SessionError::Record {
        source: RecordError::Sink(cause),
        ..
    } = &error
    else {
        panic!("the sink's own error comes through, not {error:?}");
    };
    assert!(
        cause.to_string().contains("run"),
        "it names a path: {cause}"
    );
    let catalog = Catalog::load(&RunDir::open(&path).unwrap()).unwrap();
    let epochs: Vec<i32> = catalog.captures().iter().map(|c| c.id.epoch.0).collect();
    assert!(epochs.len() < 200);
    assert_eq!(epochs, (0..epochs.len() as i32).collect::<Vec<_>>());
    for file in catalog.files() {
        assert!(path.join(file.path).exists(), "{}", file.path);
    }
}

#[test]
fn a_cancelled_session_keeps_what_was_captured() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    let cancel = CancelToken::default();
    let options = options(&path, Some(EVERYTHING));
    let summary = train(&options, &cancel, &mut CancelAt(1, cancel.clone())).unwrap();
    assert!(summary.interrupted);
    assert_eq!(summary.last_epoch.unwrap().train.epoch, Epoch(1));
    let catalog = Catalog::load(&RunDir::open(&path).unwrap()).unwrap();
    assert_eq!(catalog.captures().len(), 2);
    assert!(!path.join(".staging").exists());
}

/// Cancels once an epoch is done.
struct CancelAt(i32, CancelToken);

impl SessionObserver for CancelAt {
    fn started(&mut self, _: &Resolution, _: Option<&Path>) {}
    fn epoch_done(&mut self, progress: &EpochProgress) {
        if progress.train.epoch.0 == self.0 {
            self.1.cancel();
        }
    }
}

#[test]
fn a_session_cancelled_after_its_last_epoch_was_interrupted_and_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    let cancel = CancelToken::default();
    let options = options(&path, Some(EVERYTHING));
    let summary = train(&options, &cancel, &mut CancelAt(2, cancel.clone())).unwrap();
    assert!(summary.interrupted);
    assert_eq!(summary.last_epoch.unwrap().train.epoch, Epoch(2));
    assert_eq!(summary.recorded.unwrap().1.num_captures, 3);
}

/// A recording into which one epoch was handed over.
fn recording_of_one_epoch(path: &Path) -> Recording<Flex> {
    let options = options(path, Some(EVERYTHING));
    let resolution = options.device.resolve().unwrap();
    let cancel = CancelToken::default();
    let device = Default::default();
    let mut session =
        Session::<Autodiff<Flex>>::try_new(&options, &resolution, device, &cancel).unwrap();
    let mut recording = session.start_recording(EVERYTHING).unwrap();
    let EpochOutcome::Completed(report) = session.trainer.run_epoch(Epoch(0)).unwrap() else {
        panic!("nobody asked to stop");
    };
    session.end_epoch(report, Some(&mut recording)).unwrap();
    recording
}

fn device_failure() -> SessionError {
    let reason = "the cable came off".to_owned();
    let source = burn::tensor::backend::ExecutionError::WithContext { reason };
    TrainError::Device(source).into()
}

#[test]
fn a_failing_device_leaves_what_was_captured() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    let recording = recording_of_one_epoch(&path);
    let error = finish_recording::<(), _>(Err(device_failure()), Some(recording)).unwrap_err();
    assert_eq!(error.run(), Some(path.as_path()));
    assert_eq!(
        error.to_string(),
        format!(
            "training failed while it was recorded into {}",
            path.display()
        )
    );
    let cause = std::error::Error::source(&error).unwrap();
    assert_eq!(cause.to_string(), "the device failed");
    let catalog = Catalog::load(&RunDir::open(&path).unwrap()).unwrap();
    assert_eq!(catalog.captures().len(), 1);
    assert!(!path.join(".staging").exists());
}

#[test]
fn a_failing_device_and_a_failing_disk_are_both_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    let recording = recording_of_one_epoch(&path);
    // Nothing can be published any more: neither the capture nor, had it been in time, the last
    // metrics.
    std::fs::rename(path.join(".staging"), path.join("taken away")).unwrap();
    std::fs::write(path.join(".staging"), "in the way").unwrap();
    let error = finish_recording::<(), _>(Err(device_failure()), Some(recording)).unwrap_err();
    let SessionError::TrainRecorded {
        source: TrainError::Device(_),
        recording: Some(why),
        ..
    } = &error
    else {
        panic!("the device's failure is the cause, the disk's is told, not {error:?}");
    };
    let message = error.to_string();
    assert!(
        message.contains(&format!(", and not all of it could be kept ({why}")),
        "{message}"
    );
}
