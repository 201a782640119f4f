use std::collections::HashSet;
use std::fs;
use std::path::Path;

use arrow::array::{Float64Array, StringArray};
use arrow::compute::concat_batches;
use arrow::datatypes::Int32Type;
use parquet::basic::Compression;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaDataReader};

use super::*;
use crate::checksum::Crc32c;
use crate::disk::{Fault, SimDisk};
use crate::publish::Group;
use crate::testing::{ablations_rows, capture, create_run, part_path, structures_rows};

fn names(parts: &[DerivedPart]) -> Vec<String> {
    let name = |part: &DerivedPart| {
        let names = part.rows["name"].as_string::<i32>();
        names.iter().flatten().next().unwrap().to_owned()
    };
    parts.iter().map(name).collect()
}

fn publish(run: &RunDir, name: &str) -> Result<CommitRecord, DerivedError> {
    let rows = structures_rows(2, name);
    publish_derived(run, Table::Structures, capture(2), rows)
}

/// What a glob over the table's directory sees.
fn globbed(run: &RunDir, table: Table) -> usize {
    let dir = run.path().join(table.name()).join("epoch=2");
    fs::read_dir(dir).map_or(0, Iterator::count)
}

#[test]
fn what_is_published_is_read_back_and_named_by_its_commit() {
    let dir = tempfile::tempdir().unwrap();
    let run = create_run(&dir.path().join("run"));
    assert!(read_derived(&run, Table::Structures).unwrap().is_empty());

    let record = publish(&run, "ones").unwrap();
    assert_eq!(record.number, 0);
    assert!(record.captures.is_empty());
    let [file] = &record.files[..] else {
        panic!("{record:?}");
    };
    let expected = format!("structures/epoch=2/step-72-r0-g0-{}.parquet", record.nonce);
    assert_eq!(file.path.as_str(), expected);
    assert!(!run.staging_dir().exists());

    let [part] = &read_derived(&run, Table::Structures).unwrap()[..] else {
        panic!("one file");
    };
    assert_eq!(part.path, file.path.as_str());
    assert_eq!(part.capture, capture(2));
    assert_eq!(part.rows, structures_rows(2, "ones"));
    let rows = ablations_rows(2);
    publish_derived(&run, Table::Ablations, capture(2), rows.clone()).unwrap();
    let parts = read_derived(&run, Table::Ablations).unwrap();
    assert_eq!(parts[0].rows, rows);
    // No capture is there because of them.
    assert!(Catalog::load(&run).unwrap().captures().is_empty());
}

#[test]
fn rows_are_replaced_by_one_commit() {
    let dir = tempfile::tempdir().unwrap();
    let run = create_run(&dir.path().join("run"));
    for name in ["ones", "twos", "threes"] {
        publish(&run, name).unwrap();
    }
    let writer = DerivedWriter::begin(&run, Table::Structures).unwrap();
    let parts = writer.parts().unwrap();
    assert_eq!(names(&parts), ["ones", "twos", "threes"]);
    let retired = parts[..2].iter().map(|part| part.path.clone()).collect();
    let rows = [
        (capture(2), structures_rows(2, "both")),
        (capture(1), structures_rows(1, "earlier")),
        (capture(0), structures_rows(0, "none").slice(0, 0)),
    ];
    let record = writer.publish(BTreeMap::from(rows), retired).unwrap();
    assert_eq!((record.files.len(), record.retired.len()), (2, 2));
    let parts = read_derived(&run, Table::Structures).unwrap();
    assert_eq!(names(&parts), ["threes", "earlier", "both"]);
    assert_eq!(globbed(&run, Table::Structures), 2);
}

#[test]
fn writers_publish_beside_each_other_and_a_recorder() {
    let dir = tempfile::tempdir().unwrap();
    let run = create_run(&dir.path().join("run"));
    let _recording = run.lock_writer(Rank(0)).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut recorder = Publisher::try_new(&run, Rank(0), None).unwrap();
            for epoch in 0..20 {
                let path = part_path(Table::Metrics, epoch, None);
                let part = recorder.staging().stage(path, b"", 0).unwrap();
                let group = Group {
                    captures: vec![capture(epoch)],
                    parts: vec![part],
                    retired: Vec::new(),
                };
                recorder.publish(group).unwrap();
            }
        });
        for writer in 0..3 {
            let run = &run;
            scope.spawn(move || {
                for n in 0..10 {
                    publish(run, &format!("{writer}-{n}")).unwrap();
                }
            });
        }
    });
    let catalog = Catalog::load(&run).unwrap();
    assert_eq!(catalog.captures().len(), 20);
    assert_eq!(catalog.num_files(), 20 + 30);
    let parts = read_derived(&run, Table::Structures).unwrap();
    assert_eq!(names(&parts).into_iter().collect::<HashSet<_>>().len(), 30);
    assert_eq!(globbed(&run, Table::Structures), 30);
}

#[test]
fn what_cannot_be_published_is_refused_with_a_reason() {
    let dir = tempfile::tempdir().unwrap();
    let run = create_run(&dir.path().join("run"));
    let error = DerivedWriter::begin(&run, Table::Weights).unwrap_err();
    assert_eq!(error.to_string(), "table weights is recorded, not derived");
    assert!(matches!(
        read_derived(&run, Table::Resume),
        Err(DerivedError::NotDerived(Table::Resume))
    ));
    let of_step_72 = structures_rows(2, "ones");
    let error = publish_derived(&run, Table::Structures, capture(1), of_step_72).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a row of table structures says another step than 48"
    );
    let of_other_table = ablations_rows(2);
    let error = publish_derived(&run, Table::Structures, capture(2), of_other_table).unwrap_err();
    assert!(matches!(
        error,
        DerivedError::Write {
            source: EncodeError::WrongColumns { .. },
            ..
        }
    ));
    let columns: Vec<ArrayRef> = vec![Arc::new(StringArray::from_iter_values(["a"]))];
    assert!(derived_rows(Table::Structures, capture(0), columns).is_err());
    assert_eq!(globbed(&run, Table::Structures), 0);
    assert!(!run.staging_dir().exists());
}

#[test]
fn a_damaged_file_is_told_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let run = create_run(&dir.path().join("run"));
    let path = publish(&run, "ones").unwrap().files[0].path.clone();
    let file = run.path().join(path.as_str());
    let mut bytes = fs::read(&file).unwrap();
    bytes[10] ^= 1;
    fs::write(&file, bytes).unwrap();
    let error = read_derived(&run, Table::Structures).unwrap_err();
    assert!(error.to_string().contains(path.as_str()), "{error}");
    fs::remove_file(&file).unwrap();
    let error = read_derived(&run, Table::Structures).unwrap_err();
    let says = format!("{path} is committed, but not there; `sink verify` lists");
    assert!(error.to_string().contains(&says), "{error}");
}

#[test]
fn a_column_that_a_file_lacks_reads_as_null() {
    let rows = structures_rows(2, "ones");
    let kept: Vec<usize> = (0..rows.num_columns() - 1).collect();
    let mut file = Vec::new();
    let rows = rows.project(&kept).unwrap();
    let mut writer = parquet::arrow::ArrowWriter::try_new(&mut file, rows.schema(), None).unwrap();
    writer.write(&rows).unwrap();
    writer.close().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let part = PartFile {
        store: Arc::new(crate::store::LocalStore::new(dir.path())),
        path: "part.parquet".to_owned(),
        num_bytes: file.len() as u64,
        crc32c: Some(Crc32c::of(&file)),
        footer: None,
        columns: None,
    };
    fs::write(part.location(), file).unwrap();
    let reader = PartReader::checked(Table::Structures, &[], BATCH_ROWS).unwrap();
    let read = reader.read_whole(&part).unwrap();
    assert_eq!(read.schema(), Table::Structures.schema());
    assert_eq!(read["seed"].null_count(), 4);
    assert_eq!(
        read["neuron"].as_primitive::<Int32Type>().values(),
        &[0, 1, 2, 3]
    );
    assert!(read["score"].as_any().is::<Float64Array>());
}

/// A process that dies just before any of the operations by which it replaces a table leaves the old
/// rows or the new ones; what it leaves over, the recorder's next session clears away.
#[test]
fn a_crash_at_every_step_leaves_the_old_rows_or_the_new() {
    let dir = tempfile::tempdir().unwrap();
    let replace = |run: &RunDir| {
        let writer = DerivedWriter::begin(run, Table::Structures)?;
        let retired = writer.parts()?.into_iter().map(|part| part.path).collect();
        let rows = BTreeMap::from([(capture(2), structures_rows(2, "new"))]);
        writer.publish(rows, retired)
    };
    let mut num_failures = 0;
    for n in 0.. {
        assert!(n < 1000, "the loop must end");
        let run = create_run(&dir.path().join(n.to_string()));
        publish(&run, "old").unwrap();
        let sim = SimDisk::over(run.path()).unwrap();
        sim.fail_after(n, Fault::Crash);
        let replaced = RunDir::open_on(sim.disk(), run.path()).map(|run| replace(&run));
        let failed = sim.stop_failing();
        let parts = read_derived(&run, Table::Structures).unwrap();
        let names = names(&parts);
        assert!(names == ["old"] || names == ["new"], "{n}: {names:?}");
        let mut recorder = Publisher::try_new(&run, Rank(0), None).unwrap();
        recorder.clear_leftovers().unwrap();
        drop(recorder);
        assert_eq!(globbed(&run, Table::Structures), 1, "{n}");
        assert!(!run.staging_dir().exists(), "{n}");
        if !failed {
            replaced.unwrap().unwrap();
            assert_eq!(names, ["new"]);
            break;
        }
        num_failures += 1;
    }
    assert!(num_failures > 8, "only {num_failures} operations failed");
}

/// What a writer moved into place and has not committed yet is nobody's leftover.
#[test]
fn a_recorder_leaves_files_in_hand_alone() {
    let dir = tempfile::tempdir().unwrap();
    let run = create_run(&dir.path().join("run"));
    let place = |nonce: &str| -> PathBuf {
        let name = format!("structures/epoch=2/step-72-r0-g0-{nonce}.parquet");
        let path = run.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "x").unwrap();
        path
    };
    let writer = Publisher::for_derived(&run).unwrap();
    let in_hand = place(writer.staging().nonce().as_str());
    let left_over = place("0123456789abcdef");
    let clear = || {
        let mut recorder = Publisher::try_new(&run, Rank(0), None).unwrap();
        recorder.clear_leftovers().unwrap();
    };
    let there = |path: &Path| path.exists();
    clear();
    assert_eq!((there(&in_hand), there(&left_over)), (true, false));
    drop(writer);
    clear();
    assert!(!there(&in_hand));
}

/// The bytes of derived rows after sessions that compressed in these ways, and whether any column is compressed.
fn written_after(dir: &Path, sessions: &[serde_json::Value]) -> (u64, bool) {
    let run = create_run(dir);
    for session in sessions {
        let mut recorder = Publisher::try_new(&run, Rank(0), Some(session.clone())).unwrap();
        recorder.publish(Group::default()).unwrap();
    }
    let rows = ablations_rows(2);
    let rows = concat_batches(&rows.schema(), std::iter::repeat_n(&rows, 1000)).unwrap();
    let record = publish_derived(&run, Table::Ablations, capture(2), rows.clone()).unwrap();
    assert_eq!(read_derived(&run, Table::Ablations).unwrap()[0].rows, rows);
    let [file] = &record.files[..] else {
        panic!("{record:?}");
    };
    let bytes = bytes::Bytes::from(fs::read(run.path().join(file.path.as_str())).unwrap());
    let metadata = ParquetMetaDataReader::new()
        .parse_and_finish(&bytes)
        .unwrap();
    let columns = metadata.row_group(0).columns();
    let is_compressed =
        |column: &ColumnChunkMetaData| column.compression() != Compression::UNCOMPRESSED;
    (file.bytes, columns.iter().any(is_compressed))
}

#[test]
fn what_is_derived_is_compressed_as_the_last_session_compressed() {
    let dir = tempfile::tempdir().unwrap();
    let dir = |name| dir.path().join(name);
    let [none, auto] = ["none", "auto"].map(|word| serde_json::json!({"compress": word}));
    let unsaid = serde_json::json!({"lr": 0.5});
    let by_default = written_after(&dir("never-recorded"), &[]);
    assert!(by_default.1);
    assert_eq!(written_after(&dir("unsaid"), &[unsaid]), by_default);
    let plain = written_after(&dir("none"), &[auto.clone(), none.clone()]);
    assert!(!plain.1 && plain.0 > 2 * by_default.0, "{plain:?}");
    assert_eq!(written_after(&dir("auto"), &[none, auto]), by_default);
}
