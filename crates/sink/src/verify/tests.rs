mod sweep;

use std::fs::{self, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::sync::Arc;

use arrow::array::{Int32Array, RecordBatch};
use trace::{CommitRecord, Crc32c, FileEntry};

use super::*;
use crate::testing::{HIDDEN, capture, capture_parts, create_run, layer_weights};
use crate::{Part, Sink, SinkOptions};

const FILE: &str = "weights/epoch=1/layer=L_hidden_1/step-48-r0-g0.parquet";

/// Three captures of three files.
fn recorded(dir: &Path) -> RunDir {
    recorded_with(dir, |_| ())
}

/// Three captures of three files, a commit each, and one that says that this is all.
fn recorded_one_by_one(dir: &Path) -> RunDir {
    recorded_with(dir, |sink| sink.flush().unwrap())
}

fn recorded_with(dir: &Path, after_each: impl Fn(&Sink)) -> RunDir {
    let run = create_run(&dir.join("run"));
    let sink = Sink::start(&run, SinkOptions::default()).unwrap();
    for epoch in 0..3 {
        let mut open = sink.begin(Some(capture(epoch)));
        for (path, rows) in capture_parts(epoch) {
            open.send(Part { path, rows }).unwrap();
        }
        open.end().unwrap();
        after_each(&sink);
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

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_damaged_commit_is_listed_and_everything_else_is_checked() {
    for number in 0..3 {
        let dir = tempfile::tempdir().unwrap();
        let run = recorded_one_by_one(dir.path());
        let name = format!("commits/{number:020}.json");
        flip(&run.path().join(&name), 30);
        let found = problem(&run);
        assert_eq!(
            (found.path.as_str(), found.check),
            (name.as_str(), Check::History)
        );
        assert!(found.found.contains("it was damaged"), "{}", found.found);
        let report = report(&run);
        assert_eq!((report.num_captures, report.num_files), (2, 6));
        assert_eq!(
            report.uncommitted.len(),
            3,
            "nobody can tell whose they are"
        );
        assert!(report.lacks_commits);
        // What is wrong elsewhere is found as well.
        let other = (number + 1) % 3;
        let file = FILE.replace("epoch=1", &format!("epoch={other}"));
        let file = file.replace("step-48", &format!("step-{}", 24 * (other + 1)));
        flip(&run.path().join(&file), 100);
        let report = super::verify(&run, &|_| {}).unwrap();
        let paths: Vec<&str> = report.problems.iter().map(|p| p.path.as_str()).collect();
        assert_eq!(paths, [name.as_str(), file.as_str()]);
    }
}

#[test]
fn a_commit_that_is_missing_is_told_and_everything_else_is_checked() {
    let dir = tempfile::tempdir().unwrap();
    let run = recorded_one_by_one(dir.path());
    fs::remove_file(run.commits_dir().join(format!("{:020}.json", 1))).unwrap();
    let found = problem(&run);
    assert_eq!(
        (found.path.as_str(), found.check),
        (COMMITS_DIR, Check::History)
    );
    assert!(
        found.found.starts_with("commit 1 is missing"),
        "{}",
        found.found
    );
    assert_eq!(report(&run).num_files, 6);
}

#[test]
fn a_run_json_that_was_changed_is_a_problem() {
    let dir = tempfile::tempdir().unwrap();
    let run = recorded_one_by_one(dir.path());
    let path = run.path().join("run.json");
    let json = fs::read_to_string(&path).unwrap();
    let changed = json.replacen("\"seed\": 42", "\"seed\": 43", 1);
    assert_ne!(changed, json);
    fs::write(&path, changed).unwrap();
    let run = RunDir::open(run.path()).unwrap();
    let found = problem(&run);
    assert_eq!(
        (found.path.as_str(), found.check),
        ("run.json", Check::History)
    );
    assert_eq!(report(&run).num_files, 9);
}

/// A checkpoint of another run under a name that promises more hid what was there.
#[test]
fn a_checkpoint_under_a_wider_name_is_a_problem_and_hides_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let run = recorded_one_by_one(dir.path());
    let mut publisher = trace::Publisher::try_new(&run, trace::Rank(0), None).unwrap();
    publisher.publish(trace::Group::default()).unwrap();
    publisher.seal().unwrap();
    drop(publisher);
    let narrow = run
        .commits_dir()
        .join(format!("checkpoint-{:020}-{:020}.parquet", 0, 4));
    let wide = run
        .commits_dir()
        .join(format!("checkpoint-{:020}-{:020}.parquet", 0, 9));
    fs::copy(&narrow, &wide).unwrap();
    let found = problem(&run);
    assert!(
        found.path.ends_with("00000000000000000009.parquet"),
        "{}",
        found.path
    );
    let report = report(&run);
    assert_eq!(
        (
            report.num_captures,
            report.num_files,
            report.uncommitted.len()
        ),
        (3, 9, 0)
    );
}

#[test]
fn a_session_that_ended_says_so_and_without_its_last_commit_nobody_can_tell() {
    let dir = tempfile::tempdir().unwrap();
    let run = recorded_one_by_one(dir.path());
    assert_eq!(report(&run).ending, Ending::Finished);
    fs::remove_file(run.commits_dir().join(format!("{:020}.json", 3))).unwrap();
    let report = report(&run);
    assert_eq!(
        (report.ending, report.problems.len()),
        (Ending::NotFinished, 0)
    );
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

/// Changes what the commit of a run says of one file, with a checksum that is right.
fn commit_anew(run: &RunDir, path: &str, change: impl Fn(&mut FileEntry)) {
    let mut records: Vec<_> = fs::read_dir(run.commits_dir())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    records.sort();
    let mut previous = None;
    for name in records {
        let mut record = CommitRecord::decode(&fs::read(&name).unwrap()).unwrap();
        for file in &mut record.files {
            if file.path.as_str() == path {
                change(file);
            }
        }
        if record.previous_crc32c.is_some() {
            record.previous_crc32c = previous;
        }
        let bytes = record.encode();
        previous = Some(CommitRecord::decode_with_checksum(&bytes).unwrap().1);
        fs::write(&name, bytes).unwrap();
    }
}

/// What readers go by, whatever the checksum of the whole file says.
#[test]
fn a_wrong_checksum_of_the_footer_or_of_a_column_is_found_and_its_file_is_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let run = recorded(dir.path());
    let path = run.path().join(FILE);
    let whole = fs::read(&path).unwrap();
    let key = b"stratigraph.column_crc32c";
    let at = whole.windows(key.len()).position(|bytes| bytes == key);
    // Behind the key: the value's type and length, a byte or two each, and digits.
    let at = at.unwrap() + key.len() + 8;
    assert!(whole[at].is_ascii_hexdigit());
    let mut wrong_column = whole.clone();
    wrong_column[at] = if whole[at] == b'0' { b'1' } else { b'0' };
    let footer = |bytes: &[u8], num_bytes: u64| {
        Crc32c::of(&bytes[bytes.len() - usize::try_from(num_bytes).unwrap()..])
    };
    type Change<'a> = Box<dyn Fn(&mut FileEntry) + 'a>;
    let cases: [(&[u8], Check, &str, Change<'_>); 5] = [
        (
            &whole,
            Check::Checksum,
            "of its footer",
            Box::new(|file| file.footer_crc32c = Some(Crc32c(7))),
        ),
        (
            &whole,
            Check::Checksum,
            "of its footer",
            Box::new(|file| file.footer_bytes = Some(file.footer_bytes.unwrap() - 1)),
        ),
        (
            &whole,
            Check::Footer,
            "a Parquet footer",
            Box::new(|file| {
                file.footer_bytes = Some(20);
                file.footer_crc32c = Some(footer(&whole, 20));
            }),
        ),
        (
            &whole,
            Check::Footer,
            "a footer of ",
            Box::new(|file| file.footer_bytes = Some(file.bytes + 1)),
        ),
        (
            &wrong_column,
            Check::Checksum,
            "of its column ",
            Box::new(|file| {
                let num_bytes = file.footer_bytes.unwrap();
                file.crc32c = Crc32c::of(&wrong_column);
                file.footer_crc32c = Some(footer(&wrong_column, num_bytes));
            }),
        ),
    ];
    for (bytes, check, expected, change) in cases {
        let dir = tempfile::tempdir().unwrap();
        let run = recorded(dir.path());
        assert_eq!(fs::read(run.path().join(FILE)).unwrap(), whole);
        fs::write(run.path().join(FILE), bytes).unwrap();
        commit_anew(&run, FILE, change);
        let found = problem(&run);
        assert_eq!((found.path.as_str(), found.check), (FILE, check));
        assert!(found.expected.contains(expected), "{}", found.expected);
        let (catalog, faults) = Catalog::salvage(&run).unwrap();
        assert_eq!(faults.iter().count(), 0);
        let (left, bad) = catalog.whole_files(&run);
        assert_eq!((left.num_files(), bad.len()), (8, 1));
        assert!(bad[0].path.ends_with(FILE));
    }
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
    // The last record says that everything was recorded: whatever is staged, no session goes on.
    assert_eq!(report.activity, Some(Activity::Ended));
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
fn damaged_commits_are_a_problem() {
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
    let found = problem(&run);
    assert_eq!(run.path().join(&found.path), first);
    assert_eq!(found.check, Check::History);
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
        let catalog = Catalog::load(&run).unwrap();
        let mut num_problems = 0;
        for at in footer.clone() {
            for mask in [0x40, 0xff] {
                let mut bytes = bytes.clone();
                bytes[at] ^= mask;
                fs::write(&path, &bytes).unwrap();
                let file = trace::CommittedFile {
                    crc32c: trace::Crc32c::of(&bytes),
                    ..catalog.file(0)
                };
                num_problems += usize::from(file::check_file(&run, &file).is_err());
            }
        }
        assert!(num_problems > footer.len(), "{num_problems}");
    }

    /// Files that make parquet panic: their first page says that it is none of a dictionary, and the next wants one.
    /// Each is a problem of its own, however many there are, and what is behind them is checked.
    #[test]
    fn files_that_make_their_decoder_panic_are_found_and_the_rest_is_checked() {
        const NUM_EPOCHS: i32 = 20;
        let dir = tempfile::tempdir().unwrap();
        let run = create_run(&dir.path().join("run"));
        let mut publisher = Publisher::try_new(&run, Rank(0), None).unwrap();
        let mut paths = Vec::new();
        for epoch in 0..NUM_EPOCHS {
            let (path, rows) = layer_weights(epoch, HIDDEN);
            let mut bytes = parquet(&rows, Some("1.0"));
            // Behind the magic bytes: the type of the first page, as Thrift has it.
            assert_eq!(bytes[4..6], [0x15, 4]);
            // The last is damaged in another way, one is whole.
            if epoch < NUM_EPOCHS - 2 {
                bytes[5] = 2;
            }
            paths.push(path.to_string());
            let part = publisher.staging().stage(path, &bytes, 4).unwrap();
            let group = Group {
                captures: vec![capture(epoch)],
                parts: vec![part],
                retired: Vec::new(),
            };
            publisher.publish(group).unwrap();
        }
        flip(&run.path().join(paths.last().unwrap()), 100);
        let steps = AtomicUsize::new(0);
        let step = |_| {
            steps.fetch_add(1, Ordering::Relaxed);
        };
        let report = verify(&run, &step).unwrap();
        let (last, panicked) = report.problems.split_last().unwrap();
        for (problem, path) in panicked.iter().zip(&paths) {
            assert_eq!((&problem.path, problem.check), (path, Check::Rows));
            let told = "its decoder panicked: Decoder for dict should have been set";
            assert_eq!(problem.found, told);
        }
        assert_eq!(panicked.len(), paths.len() - 2);
        assert_eq!(
            (&last.path, last.check),
            (&paths[paths.len() - 1], Check::Checksum)
        );
        assert_eq!(report.num_files, paths.len() as u64);
        assert_eq!(steps.into_inner(), paths.len());
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
                let mut columns = rows.columns().to_vec();
                columns[1] = Arc::new(Int32Array::from_value(rank.0, rows.num_rows()));
                let rows = RecordBatch::try_new(rows.schema(), columns).unwrap();
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

/// Publishes the parts of an epoch's capture as a later session would.
fn publish_again(run: &RunDir, epoch: i32, retired: Vec<String>) {
    publish_as(run, epoch, 1, retired);
}

fn publish_as(run: &RunDir, epoch: i32, generation: u32, retired: Vec<String>) {
    let mut publisher = trace::Publisher::try_new(run, trace::Rank(0), None).unwrap();
    let parts = capture_parts(epoch).into_iter().map(|(path, rows)| {
        let path = trace::PartPath {
            generation: trace::Generation(generation),
            ..path
        };
        let num_rows = rows.num_rows() as u64;
        let output = publisher.staging().create_part(path.clone()).unwrap();
        let encoded =
            trace::encode_part(&Part { path, rows }, trace::Compress::Auto, output).unwrap();
        encoded.finish(num_rows).unwrap()
    });
    let group = trace::Group {
        captures: vec![capture(epoch)],
        parts: parts.collect(),
        retired,
    };
    publisher.publish(group).unwrap();
}

fn paths_of(epoch: i32) -> Vec<String> {
    let parts = capture_parts(epoch).into_iter();
    parts.map(|(path, _)| path.to_string()).collect()
}

#[test]
fn a_capture_that_two_recorders_committed_is_a_problem() {
    let dir = tempfile::tempdir().unwrap();
    let run = recorded_one_by_one(dir.path());
    publish_again(&run, 1, Vec::new());
    let found = problem(&run);
    assert_eq!(
        (found.path.as_str(), found.check),
        (COMMITS_DIR, Check::Unique)
    );
    assert!(
        found.found.starts_with("commits 1 and 4: "),
        "{}",
        found.found
    );
    // Where the first is retired there is one.
    let run = recorded_one_by_one(&dir.path().join("other"));
    publish_again(&run, 1, paths_of(1));
    assert_eq!(report(&run).problems, []);
}

#[test]
fn what_is_retired_while_it_is_verified_is_no_problem() {
    let dir = tempfile::tempdir().unwrap();
    let run = recorded_one_by_one(dir.path());
    // Each thread waits with its first file, so that the last capture's are not read yet.
    let num_threads = std::thread::available_parallelism().map_or(1, usize::from);
    let last = 3 + i32::try_from(num_threads).unwrap();
    for epoch in 3..=last {
        publish_again(&run, epoch, Vec::new());
    }
    let again = |epoch| {
        let paths = paths_of(epoch).into_iter();
        paths.map(|path| path.replace("-g0", "-g1")).collect()
    };
    let retire = std::sync::Once::new();
    let report = verify(&run, &|_| {
        retire.call_once(|| publish_as(&run, last, 2, again(last)));
    });
    let report = report.unwrap();
    assert_eq!(report.problems, []);
    assert_eq!(report.num_captures, u64::try_from(last).unwrap() + 1);
    // The same file is missed where nothing retires it.
    let path = paths_of(1).remove(0);
    let path = run.path().join(path);
    fs::remove_file(path).unwrap();
    assert_eq!(problem(&run).check, Check::Presence);
}

/// What is not named any more was not retired for that.
#[test]
fn a_file_whose_record_is_lost_while_it_is_verified_is_missed_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let run = recorded_one_by_one(dir.path());
    let path = paths_of(1).remove(0);
    fs::remove_file(run.path().join(&path)).unwrap();
    let damage = std::sync::Once::new();
    let report = verify(&run, &|_| {
        damage.call_once(|| {
            let record = run.commits_dir().join(format!("{:020}.json", 1));
            fs::write(record, "damaged").unwrap();
        });
    });
    let problems = report.unwrap().problems;
    let found = problems.iter().find(|problem| problem.path == path);
    assert_eq!(found.map(|found| found.check), Some(Check::Presence));
}

/// Whoever goes on with a run of which a record is not read changes nothing of it.
#[test]
fn a_resume_that_is_refused_leaves_everything_as_it_was() {
    fn tree(dir: &Path) -> std::collections::BTreeMap<std::path::PathBuf, Option<Vec<u8>>> {
        let mut found = std::collections::BTreeMap::new();
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                found.extend(tree(&path));
                found.insert(path, None);
            } else {
                let bytes = fs::read(&path).unwrap();
                found.insert(path, Some(bytes));
            }
        }
        found
    }
    let dir = tempfile::tempdir().unwrap();
    let run = recorded_one_by_one(dir.path());
    let last = run.commits_dir().join(format!("{:020}.json", 3));
    fs::rename(last, run.commits_dir().join("3.json")).unwrap();
    let lock = Arc::new(run.lock_writer(trace::Rank(0)).unwrap());
    let before = tree(run.path());
    let options = SinkOptions {
        resume: Some(crate::Resume {
            lock,
            retired: paths_of(2),
        }),
        session: Some(serde_json::json!({})),
        ..SinkOptions::default()
    };
    let refused = Sink::start(&run, options).unwrap_err();
    assert!(
        refused.to_string().contains("3.json is not called"),
        "{refused}"
    );
    assert_eq!(tree(run.path()), before);
}

#[test]
fn a_record_under_another_name_is_a_problem() {
    let dir = tempfile::tempdir().unwrap();
    let run = recorded_one_by_one(dir.path());
    let last = run.commits_dir().join(format!("{:020}.json", 3));
    fs::rename(last, run.commits_dir().join("3.json")).unwrap();
    let found = problem(&run);
    assert_eq!(
        (found.path.as_str(), found.check),
        ("commits/3.json", Check::History)
    );
}

/// A file with a checksum that is right, and not what its layer recorded.
#[test]
fn a_file_that_lacks_units_is_a_problem() {
    let dir = tempfile::tempdir().unwrap();
    let run = create_run(&dir.path().join("run"));
    let sink = Sink::start(&run, SinkOptions::default()).unwrap();
    let mut open = sink.begin(Some(capture(1)));
    for (path, rows) in capture_parts(1) {
        let rows = match path.to_string() == FILE {
            true => rows.slice(0, 3),
            false => rows,
        };
        open.send(Part { path, rows }).unwrap();
    }
    open.end().unwrap();
    sink.finish().unwrap();
    let found = problem(&run);
    assert_eq!((found.path.as_str(), found.check), (FILE, Check::Units));
    assert_eq!(found.expected, "a row for each of 4 units");
    assert_eq!(found.found, "none of unit 3");
}

/// A run whose capture has the units of a layer in such files, of the rows of units 0 to 3, and others' as they are.
fn split_into(dir: &Path, parts: &[(u32, std::ops::Range<usize>)]) -> RunDir {
    let run = create_run(&dir.join("run"));
    let sink = Sink::start(&run, SinkOptions::default()).unwrap();
    let mut open = sink.begin(Some(capture(1)));
    for (path, rows) in capture_parts(1) {
        if path.to_string() != FILE {
            open.send(Part { path, rows }).unwrap();
            continue;
        }
        for (sequence, units) in parts {
            let path = trace::PartPath {
                sequence: *sequence,
                ..path.clone()
            };
            let rows = rows.slice(units.start, units.len());
            open.send(Part { path, rows }).unwrap();
        }
    }
    open.end().unwrap();
    sink.finish().unwrap();
    run
}

#[test]
fn a_layer_that_is_split_has_each_unit_once_in_the_order_of_its_files() {
    let dir = tempfile::tempdir().unwrap();
    let whole = split_into(dir.path(), &[(0, 0..1), (1, 1..3), (2, 3..4)]);
    assert_eq!(report(&whole).problems, []);

    let all = "a row for each of 4 units";
    for (parts, sequence, expected, found) in [
        (&[(0, 0..1), (2, 3..4)][..], 2, all, "none of units 1 to 2"),
        (&[(0, 0..3)], 0, all, "none of unit 3"),
        (&[(1, 1..4)], 1, all, "none of unit 0"),
        (
            &[(0, 0..3), (1, 2..4)],
            1,
            "unit 3 after the file before",
            "unit 2 again",
        ),
        (
            &[(0, 0..4), (1, 0..4)],
            1,
            "no more than a row for each of 4 units",
            "units 0 to 3 again",
        ),
        (&[(0, 2..4), (1, 0..2)], 0, all, "none of units 0 to 1"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let problem = problem(&split_into(dir.path(), parts));
        assert_eq!(problem.check, Check::Units, "{parts:?}");
        let told = (problem.expected.as_str(), problem.found.as_str());
        assert_eq!(told, (expected, found), "{parts:?}");
        let path: trace::PartPath = problem.path.parse().unwrap();
        assert_eq!(path.sequence, sequence, "{parts:?}");
    }

    // A file that is gone is one problem, and not another one that its units are.
    let path = whole
        .path()
        .join(FILE.replace("g0.parquet", "g0-1.parquet"));
    fs::remove_file(path).unwrap();
    assert_eq!(problem(&whole).check, Check::Presence);
}

#[test]
fn what_earlier_formats_do_not_say_is_told_as_not_checked() {
    let dir = tempfile::tempdir().unwrap();
    assert!(report(&recorded(dir.path())).is_proven);
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/1.4");
    let report = report(&RunDir::open(&golden).unwrap());
    assert_eq!((report.problems, report.is_proven), (Vec::new(), false));
}

#[cfg(unix)]
#[test]
fn a_pipe_in_the_place_of_a_file_keeps_nobody_waiting() {
    let dir = tempfile::tempdir().unwrap();
    let run = recorded_one_by_one(dir.path());
    let path = run.path().join(FILE);
    fs::remove_file(&path).unwrap();
    let made = std::process::Command::new("mkfifo")
        .arg(&path)
        .status()
        .unwrap();
    assert!(made.success());
    let found = problem(&run);
    assert_eq!(
        (found.check, found.found.as_str()),
        (Check::Presence, "something else")
    );
}
