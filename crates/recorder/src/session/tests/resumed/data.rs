//! Data from files: it is the same wherever it is, and as long as its bytes are.

use std::fmt::Write as _;

use capture::CaptureChoice;

use super::*;
use crate::dataset::{DataPlace, DatasetSpec, FileFormat, FileSpec, HeldOutRule};
use crate::replay::{ReplayError, replay, replay_with_data};

/// 200 rows of so many measurements, of which a few digits are kept, as sensors and people write
/// them; the class is in the first.
fn measurements(num_columns: usize) -> String {
    let names: String = (0..num_columns)
        .map(|column| format!("x{column},"))
        .collect();
    let mut text = format!("{names}y\n");
    let mut state = num_columns as u64;
    for _ in 0..200 {
        let mut class = 'a';
        for column in 0..num_columns {
            // A generator that anybody can write down (Knuth's MMIX).
            state = state.wrapping_mul(6_364_136_223_846_793_005);
            state = state.wrapping_add(1_442_695_040_888_963_407);
            let value = (state >> 40) as f64 / 4_000.0 - 2_000.0;
            if column == 0 && value > 0.0 {
                class = 'b';
            }
            write!(text, "{value:.4},").unwrap();
        }
        writeln!(text, "{class}").unwrap();
    }
    text
}

fn of_data(data: &Path, options: SessionOptions) -> SessionOptions {
    SessionOptions {
        dataset: FileSpec::new(FileFormat::Csv, data, &["y"]).into(),
        ..options
    }
}

#[test]
fn means_and_deviations_come_back_as_they_were_written() {
    for num_columns in [3, 10, 30, 100] {
        let dir = tempfile::tempdir().unwrap();
        let (data, run) = (dir.path().join("d.csv"), dir.path().join("run"));
        std::fs::write(&data, measurements(num_columns)).unwrap();
        session(&of_data(&data, options(&run)), Some(2)).unwrap();
        let (_, resumed) = session(&of_data(&data, resuming(&run)), None).unwrap();
        // What was cancelled in epoch 3 left the saved state of the last whole one.
        assert_eq!(resumed, Some((3, 0)), "{num_columns} columns");
        let run = RunDir::open(&run).unwrap();
        let replayed = replay(&run, CaptureChoice::epoch(Epoch(EPOCHS - 1))).unwrap();
        assert!(replayed.different.is_empty(), "{num_columns} columns");
    }
}

/// A session whose data is moved after it was interrupted, and its options with the data at `to`.
fn moved(dir: &Path, from: &str, to: &str) -> SessionOptions {
    let (from, to, run) = (dir.join(from), dir.join(to), dir.join("project/run"));
    std::fs::create_dir_all(from.parent().unwrap()).unwrap();
    std::fs::create_dir_all(to.parent().unwrap()).unwrap();
    std::fs::write(&from, measurements(3)).unwrap();
    session(&of_data(&from, options(&run)), Some(2)).unwrap();
    std::fs::rename(from, &to).unwrap();
    of_data(&to, resuming(&run))
}

#[test]
fn a_run_goes_on_wherever_its_data_is() {
    let dir = tempfile::tempdir().unwrap();
    let resumed = moved(dir.path(), "project/d.csv", "elsewhere/data/other.csv");
    session(&resumed, None).unwrap();
    let run = RunDir::open(&dir.path().join("project/run")).unwrap();
    let last = CaptureChoice::epoch(Epoch(EPOCHS - 1));
    let error = replay(&run, last).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("--data FILE says where it is now"),
        "{error}"
    );
    let place = DataPlace {
        data: Some(dir.path().join("elsewhere/data/other.csv")),
        held_out: None,
    };
    assert!(
        replay_with_data(&run, last, &place)
            .unwrap()
            .different
            .is_empty()
    );
    // With the project around it, it is found.
    let back = dir.path().join("project/d.csv");
    std::fs::rename(dir.path().join("elsewhere/data/other.csv"), back).unwrap();
    std::fs::rename(dir.path().join("project"), dir.path().join("renamed")).unwrap();
    let run = RunDir::open(&dir.path().join("renamed/run")).unwrap();
    assert!(replay(&run, last).unwrap().different.is_empty());
}

#[test]
fn a_held_out_file_may_be_moved_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    std::fs::write(path("d.csv"), measurements(3)).unwrap();
    std::fs::write(path("t.csv"), measurements(3)).unwrap();
    let with = |test: &str, options: SessionOptions| SessionOptions {
        dataset: DatasetSpec::from(FileSpec {
            held_out: Some(HeldOutRule::File(path(test))),
            ..FileSpec::new(FileFormat::Csv, path("d.csv"), &["y"])
        }),
        ..options
    };
    session(&with("t.csv", options(&path("run"))), Some(2)).unwrap();
    std::fs::rename(path("t.csv"), path("test.csv")).unwrap();
    session(&with("test.csv", resuming(&path("run"))), None).unwrap();
}

#[test]
fn what_is_not_the_same_data_is_not_gone_on_with() {
    let dir = tempfile::tempdir().unwrap();
    let resumed = moved(dir.path(), "project/d.csv", "project/e.csv");
    let refusal = |options: &SessionOptions| session(options, None).unwrap_err().to_string();
    let data = dir.path().join("project/e.csv");
    let with = |spec: FileSpec| SessionOptions {
        dataset: spec.into(),
        ..resumed.clone()
    };
    let spec = || FileSpec::new(FileFormat::Csv, &data, &["y"]);
    // The same bytes, read in another way.
    let told = refusal(&with(FileSpec {
        ignored: vec!["x1".to_owned()],
        ..spec()
    }));
    assert!(
        told.contains("data.ignored is [] there, and [\"x1\"] here"),
        "{told}"
    );
    let told = refusal(&with(FileSpec {
        held_out: Some(HeldOutRule::Share(0.5)),
        ..spec()
    }));
    assert!(
        told.contains("data.held_out.share is 0.2 there, and 0.5 here"),
        "{told}"
    );
    let digits = SessionOptions {
        dataset: crate::dataset::DatasetKind::Digits.into(),
        ..resumed.clone()
    };
    let told = refusal(&digits);
    assert!(
        told.contains("data.kind is \"csv\" there, and \"digits\" here"),
        "{told}"
    );
    // What only says what is so anyway changes nothing.
    let said = with(FileSpec {
        held_out: Some(HeldOutRule::Share(0.2)),
        delimiter: Some(','),
        ..spec()
    });
    let other = measurements(3).replacen(",a\n", ",b\n", 1);
    std::fs::write(&data, other).unwrap();
    let told = refusal(&said);
    assert!(
        told.starts_with("the data is not that which ") && told.contains("its checksum is"),
        "{told}"
    );
    std::fs::write(&data, measurements(3)).unwrap();
    session(&said, None).unwrap();
    let run = RunDir::open(&dir.path().join("project/run")).unwrap();
    std::fs::remove_file(&data).unwrap();
    let error = replay(&run, CaptureChoice::epoch(Epoch(0))).unwrap_err();
    assert!(matches!(error, ReplayError::Rebuild(_)), "{error}");
}
