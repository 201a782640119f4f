use std::fs::{self, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};

use super::*;
use crate::testing::{HIDDEN, capture, capture_parts, create_run, layer_weights};
use crate::{Part, Sink, SinkOptions};

const FILE: &str = "weights/epoch=1/layer=L_hidden_1/step-48-r0-g0.parquet";

/// Three captures of three files.
fn recorded(dir: &Path) -> RunDir {
    let run = create_run(&dir.join("run"));
    let sink = Sink::start(&run, SinkOptions::default()).unwrap();
    for epoch in 0..3 {
        let mut open = sink.begin(Some(capture(epoch)));
        for (path, rows) in capture_parts(epoch) {
            open.send(Part { path, rows }).unwrap();
        }
        open.end().unwrap();
    }
    sink.finish().unwrap();
    run
}

fn report(run: &RunDir) -> VerifyReport {
    verify(run, &|_| {}).unwrap()
}

/// The one problem of a run that was damaged at one place.
fn problem(run: &RunDir) -> Problem {
    let mut problems = report(run).problems;
    assert_eq!(problems.len(), 1, "{problems:?}");
    problems.remove(0)
}

#[test]
fn a_run_that_is_whole_has_no_problems() {
    let dir = tempfile::tempdir().unwrap();
    let run = recorded(dir.path());
    let steps = Mutex::new(Vec::new());
    let report = verify(&run, &|progress| steps.lock().unwrap().push(progress)).unwrap();
    assert_eq!(report.problems, []);
    assert_eq!(report.uncommitted, []);
    assert_eq!(report.activity, None);
    assert_eq!((report.num_captures, report.num_files), (3, 9));
    // 4 + 2 neurons and 2 metrics a capture.
    assert_eq!(report.num_rows, 24);
    let steps = steps.into_inner().unwrap();
    assert_eq!(steps.len(), 9);
    let last = steps.iter().max_by_key(|step| step.num_files_done).unwrap();
    assert_eq!((last.num_files_done, last.num_files), (9, 9));
    assert_eq!(last.bytes, report.num_bytes);
}

#[test]
fn an_empty_run_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let report = report(&create_run(&dir.path().join("run")));
    assert_eq!((report.num_files, report.problems.len()), (0, 0));
}

/// As earlier versions left one that they were creating.
#[test]
fn a_run_of_which_there_is_only_its_identity_is_said_to_be_interrupted() {
    let dir = tempfile::tempdir().unwrap();
    let run = create_run(&dir.path().join("run"));
    fs::remove_dir(run.commits_dir()).unwrap();
    let problem = problem(&run);
    assert_eq!(
        (problem.path.as_str(), problem.check),
        (COMMITS_DIR, Check::Presence)
    );
    assert!(
        problem.found.contains("creation was interrupted"),
        "{}",
        problem.found
    );
}

#[test]
fn files_without_any_commits_are_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let run = recorded(dir.path());
    fs::remove_dir_all(run.commits_dir()).unwrap();
    let error = verify(&run, &|_| {}).unwrap_err();
    let VerifyError::Files(RunFilesError::NoCommits { path, example }) = &error else {
        panic!("{error}");
    };
    assert_eq!(*path, run.commits_dir());
    assert!(run.path().join(example).is_file(), "{example}");
}

#[test]
fn a_missing_file_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let run = recorded(dir.path());
    fs::remove_file(run.path().join(FILE)).unwrap();
    let problem = problem(&run);
    assert_eq!(
        (problem.path.as_str(), problem.check),
        (FILE, Check::Presence)
    );
    assert_eq!(problem.found, "nothing");
}

#[test]
fn a_file_cut_off_or_appended_to_is_found() {
    for change in [-1i64, 1] {
        let dir = tempfile::tempdir().unwrap();
        let run = recorded(dir.path());
        let file = OpenOptions::new()
            .write(true)
            .open(run.path().join(FILE))
            .unwrap();
        let bytes = file.metadata().unwrap().len();
        let changed = bytes.checked_add_signed(change).unwrap();
        file.set_len(changed).unwrap();
        let problem = problem(&run);
        assert_eq!((problem.path.as_str(), problem.check), (FILE, Check::Size));
        assert_eq!(problem.expected, format!("{bytes} bytes"));
        assert_eq!(problem.found, format!("{changed} bytes"));
    }
}

#[test]
fn a_flipped_bit_anywhere_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let run = recorded(dir.path());
    let path = run.path().join(FILE);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&path)
        .unwrap();
    let bytes = file.metadata().unwrap().len();
    let mut flip = |position: u64| {
        let mut byte = [0];
        file.seek(SeekFrom::Start(position)).unwrap();
        file.read_exact(&mut byte).unwrap();
        file.seek(SeekFrom::Start(position)).unwrap();
        file.write_all(&[byte[0] ^ 1]).unwrap();
    };
    for position in [0, 4, bytes / 3, bytes / 2, bytes - 9, bytes - 1] {
        flip(position);
        assert_eq!(problem(&run).check, Check::Checksum, "byte {position}");
        flip(position);
    }
    assert_eq!(report(&run).problems, []);
}

#[test]
fn files_that_no_commit_names_are_listed_and_are_no_problem() {
    let dir = tempfile::tempdir().unwrap();
    let run = recorded(dir.path());
    let stray = "weights/epoch=1/layer=L_hidden_1/step-48-r0-g1.parquet";
    fs::write(run.path().join(stray), "four").unwrap();
    let staged = format!("{STAGING_DIR}/0123456789abcdef/7");
    fs::create_dir_all(run.path().join(&staged).parent().unwrap()).unwrap();
    fs::write(run.path().join(&staged), "sixsix").unwrap();
    let report = report(&run);
    assert_eq!(report.problems, []);
    let listed: Vec<_> = report
        .uncommitted
        .iter()
        .map(|f| (f.path.as_str(), f.bytes))
        .collect();
    assert_eq!(listed, [(staged.as_str(), 6), (stray, 4)]);
    // What is staged, and the commits of just now, may be those of a session that goes on.
    assert!(report.activity.is_some_and(Activity::is_being_recorded));
}

#[test]
fn a_run_that_is_being_recorded_is_verified_as_far_as_it_is_committed() {
    let dir = tempfile::tempdir().unwrap();
    let run = create_run(&dir.path().join("run"));
    let sink = Sink::start(&run, SinkOptions::default()).unwrap();
    for epoch in 0..2 {
        let mut open = sink.begin(Some(capture(epoch)));
        let (path, rows) = layer_weights(epoch, HIDDEN);
        open.send(Part { path, rows }).unwrap();
        if epoch == 0 {
            open.end().unwrap();
            sink.flush().unwrap();
            continue;
        }
        while sink.stats().num_parts < 2 {
            std::thread::yield_now();
        }
        let report = report(&run);
        assert_eq!((report.num_captures, report.problems.len()), (1, 0));
        assert_eq!(report.uncommitted.len(), 1);
        assert!(report.uncommitted[0].path.starts_with(STAGING_DIR));
        assert!(report.activity.is_some_and(Activity::is_being_recorded));
    }
}

#[test]
fn damaged_commits_are_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let run = recorded(dir.path());
    let first = fs::read_dir(run.commits_dir())
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let mut bytes = fs::read(&first).unwrap();
    bytes[10] ^= 1;
    fs::write(&first, bytes).unwrap();
    assert!(matches!(
        verify(&run, &|_| {}),
        Err(VerifyError::Commits(_))
    ));
}

/// A writer that is not ours: the commit is true to the file, the file is not what it should be.
mod committed_but_wrong {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch};
    use arrow::datatypes::Schema;
    use parquet::arrow::ArrowWriter;
    use parquet::file::metadata::KeyValue;
    use parquet::file::properties::WriterProperties;
    use trace::{FORMAT_KEY, FORMAT_VERSION, Group, Publisher, Rank};

    use super::*;

    fn publish(dir: &Path, bytes: &[u8], rows: u64) -> RunDir {
        let run = create_run(&dir.join("run"));
        let mut publisher = Publisher::try_new(&run, Rank(0), None).unwrap();
        let (path, _) = layer_weights(1, HIDDEN);
        let part = publisher.staging().stage(path, bytes, rows).unwrap();
        let group = Group {
            captures: vec![capture(1)],
            parts: vec![part],
            retired: Vec::new(),
        };
        publisher.publish(group).unwrap();
        run
    }

    fn parquet(rows: &RecordBatch, format: Option<&str>) -> Vec<u8> {
        let keys =
            format.map(|format| vec![KeyValue::new(FORMAT_KEY.to_owned(), format.to_owned())]);
        let properties = WriterProperties::builder()
            .set_key_value_metadata(keys)
            .build();
        let mut writer = ArrowWriter::try_new(Vec::new(), rows.schema(), Some(properties)).unwrap();
        writer.write(rows).unwrap();
        writer.into_inner().unwrap()
    }

    #[test]
    fn bytes_that_are_no_parquet_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let problem = problem(&publish(dir.path(), b"PAR1 and nothing more", 4));
        assert_eq!(problem.check, Check::Footer);
    }

    #[test]
    fn another_number_of_rows_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let (_, rows) = layer_weights(1, HIDDEN);
        let run = publish(dir.path(), &parquet(&rows, Some("1.0")), 5);
        let problem = problem(&run);
        assert_eq!(problem.check, Check::Rows);
        assert_eq!(
            (problem.expected.as_str(), problem.found.as_str()),
            ("5 rows", "4 rows in the footer")
        );
    }

    #[test]
    fn a_page_that_does_not_decode_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let (_, rows) = layer_weights(1, HIDDEN);
        let mut bytes = parquet(&rows, Some("1.0"));
        // The header of the first page, right after the magic bytes.
        bytes[4..12].fill(0xff);
        let problem = problem(&publish(dir.path(), &bytes, 4));
        assert_eq!(problem.check, Check::Rows);
    }

    /// A file may have the checksum that was committed and still be made to hurt: whatever its footer
    /// says, it is this file's problem, and what is behind it is checked.
    #[test]
    fn no_footer_ends_the_verification() {
        let dir = tempfile::tempdir().unwrap();
        let (_, rows) = layer_weights(1, HIDDEN);
        let bytes = parquet(&rows, Some("1.0"));
        let run = publish(dir.path(), &bytes, 4);
        let path = run.path().join(FILE);
        let footer = u32::from_le_bytes(bytes[bytes.len() - 8..][..4].try_into().unwrap());
        let footer = bytes.len() - 8 - footer as usize..bytes.len();
        let mut num_problems = 0;
        for at in footer.clone() {
            for mask in [0x01, 0x40, 0xff] {
                let mut bytes = bytes.clone();
                bytes[at] ^= mask;
                fs::write(&path, &bytes).unwrap();
                let catalog = Catalog::load(&run).unwrap();
                let file = trace::CommittedFile {
                    crc32c: trace::Crc32c::of(&bytes),
                    ..catalog.file(0)
                };
                num_problems += usize::from(file::check_file(&run, &file).is_err());
            }
        }
        assert!(num_problems > footer.len(), "{num_problems}");
    }

    #[test]
    fn a_missing_or_newer_format_version_is_found() {
        let (_, rows) = layer_weights(1, HIDDEN);
        for (format, found) in [(None, "no key"), (Some("2.0"), "2.0")] {
            let dir = tempfile::tempdir().unwrap();
            let problem = problem(&publish(dir.path(), &parquet(&rows, format), 4));
            assert_eq!(problem.check, Check::Format);
            assert!(problem.found.contains(found), "{problem:?}");
        }
        // A later minor version is fine.
        let dir = tempfile::tempdir().unwrap();
        let run = publish(dir.path(), &parquet(&rows, Some("1.7")), 4);
        assert_eq!(report(&run).problems, []);
    }

    #[test]
    fn a_column_that_an_earlier_minor_version_lacks_is_no_problem() {
        let (_, rows) = layer_weights(1, HIDDEN);
        let is_known = |name: &str| !["weight_median", "weight_l1", "weight_zeros"].contains(&name);
        let fields = rows.schema();
        let known: Vec<usize> = (0..fields.fields().len())
            .filter(|&index| is_known(fields.field(index).name()))
            .collect();
        let rows = rows.project(&known).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let run = publish(dir.path(), &parquet(&rows, Some("1.0")), 4);
        assert_eq!(report(&run).problems, []);

        let dir = tempfile::tempdir().unwrap();
        let this = FORMAT_VERSION.to_string();
        let problem = problem(&publish(dir.path(), &parquet(&rows, Some(&this)), 4));
        assert_eq!(problem.expected, "column weight_median Float32");
    }

    #[test]
    fn a_column_that_was_never_null_in_an_earlier_minor_version_is_no_problem() {
        let (_, rows) = layer_weights(1, HIDDEN);
        let schema = rows.schema();
        let fields = schema.fields().iter().map(|field| {
            let is_nullable = field.is_nullable() && field.name() != "weight_mean";
            field.as_ref().clone().with_nullable(is_nullable)
        });
        let schema = Schema::new(fields.collect::<Vec<_>>());
        let rows = RecordBatch::try_new(Arc::new(schema), rows.columns().to_vec()).unwrap();
        let published = |format: &str| {
            let dir = tempfile::tempdir().unwrap();
            report(&publish(dir.path(), &parquet(&rows, Some(format)), 4)).problems
        };
        assert_eq!(published("1.0"), []);
        let [problem] = &published(&FORMAT_VERSION.to_string())[..] else {
            panic!("one problem");
        };
        assert_eq!(problem.found, "column weight_mean Float32 not null");
    }

    #[test]
    fn columns_of_another_table_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("step", Arc::new(Int64Array::from(vec![48]))),
            ("rank", Arc::new(Int32Array::from(vec![0]))),
        ];
        let rows = RecordBatch::try_from_iter(columns).unwrap();
        let problem = problem(&publish(dir.path(), &parquet(&rows, Some("1.0")), 1));
        assert_eq!(problem.check, Check::Columns);
        assert_eq!(problem.expected, "column neuron Int32 not null");
        assert_eq!(problem.found, "no such column");
    }
}

#[test]
fn a_capture_that_lacks_a_rank_is_listed_and_is_no_problem() {
    let dir = tempfile::tempdir().unwrap();
    let info = trace::RunInfo {
        world_size: 2,
        ..create_run(&dir.path().join("one")).info().clone()
    };
    let run = RunDir::create(&dir.path().join("run"), info).unwrap();
    for (rank, num_captures) in [(0, 3), (1, 2)] {
        let rank = trace::Rank(rank);
        let options = SinkOptions {
            rank,
            ..SinkOptions::default()
        };
        let sink = Sink::start(&run, options).unwrap();
        for epoch in 0..num_captures {
            let mut open = sink.begin(Some(capture(epoch)));
            for (mut path, rows) in capture_parts(epoch) {
                path.rank = rank;
                open.send(Part { path, rows }).unwrap();
            }
            open.end().unwrap();
        }
        sink.finish().unwrap();
    }
    let report = report(&run);
    assert_eq!((report.problems, report.uncommitted), (vec![], vec![]));
    assert_eq!((report.num_captures, report.num_files), (2, 15));
    let [partial] = &report.partial[..] else {
        panic!("{:?}", report.partial);
    };
    assert_eq!(partial.id, capture(2));
    assert_eq!(partial.ranks, [trace::Rank(0)]);
}
