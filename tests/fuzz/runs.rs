//! What reads runs: `run.json`, commit records and their roll-ups, and part files.
//!
//! What a checksum guards is given the right one after it was changed: nobody who forges a file forgets that,
//! and what is behind the checksum would never be reached else.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use serde_json::json;
use tempfile::TempDir;
use trace::{
    Catalog, CommitRecord, Crc32c, Footer, LocalStore, PartFile, PartReader, RepairOptions, RunDir,
    Table, repair, with_causes,
};

/// The identity of the run that files are put into.
const RUN_JSON: &[u8] = include_bytes!("corpus/run_json/seed-tiny.json");

/// The records that the roll-up is said to hold, from 0 on.
const LAST_ROLLED_UP: u64 = 15;

/// How many of the units are counted that a range of connections names.
const MAX_UNITS: usize = 1000;

/// What stands between a record and its checksum's digits.
const RECORD_KEY: &str = ",\"crc32c\":\"";

/// The key of a roll-up's checksum in its footer, and how many bytes are between it and the digits.
const ROLLUP_KEY: &[u8] = b"stratigraph.crc32c";
const ROLLUP_GAP: usize = 2;
const ROLLUP_DIGITS: &[u8] = b"00000000";

/// A part file's last bytes: how long its metadata is, and Parquet's sign.
const TAIL_BYTES: usize = 8;

/// `run.json`: the bytes themselves.
pub fn run_json(bytes: &[u8]) {
    ask(&[("run.json", bytes)]);
}

/// A commit record: JSON, to which the checksum is put.
pub fn commit_record(bytes: &[u8]) {
    _ = CommitRecord::decode(bytes);
    let signed = signed(bytes);
    match CommitRecord::decode(&signed) {
        Ok(record) => {
            let again = CommitRecord::decode(&record.encode());
            assert_eq!(again.expect("what was encoded"), record);
        }
        Err(error) => told(&error),
    }
    ask(&[
        ("run.json", RUN_JSON),
        ("commits/00000000000000000000.json", &signed),
    ]);
}

/// A roll-up of commit records: Parquet, whose footer gets the checksum.
pub fn rollup(bytes: &[u8]) {
    let name = format!("commits/checkpoint-{:020}-{LAST_ROLLED_UP:020}.parquet", 0);
    ask(&[("run.json", RUN_JSON), (&name, &with_digits(bytes))]);
}

/// A part file: Parquet, as each table's, and as a commit names it with the right checksums.
pub fn part(bytes: &[u8]) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = "part.parquet";
    fs::write(dir.path().join(path), bytes).expect("a file in it");
    let file = PartFile {
        store: Arc::new(LocalStore::new(dir.path())),
        path: path.to_owned(),
        num_bytes: bytes.len() as u64,
        crc32c: Some(Crc32c::of(bytes)),
        footer: footer(bytes),
        columns: None,
    };
    if let Err(error) = file.open_whole() {
        told(&error);
    }
    for table in [Table::Weights, Table::Classifications, Table::Metrics] {
        let columns: Vec<usize> = (0..table.schema().fields().len()).collect();
        let reader = PartReader::try_new(&table.schema(), &columns, 1024).expect("its own columns");
        let rows = reader.open(file.clone());
        match rows.and_then(|rows| rows.collect::<Result<Vec<_>, _>>()) {
            Ok(batches) => _ = batches.iter().map(|batch| batch.num_rows()).sum::<usize>(),
            Err(error) => told(&error),
        }
    }
    drop(dir);

    // Of as many rows as the run's own file has.
    let path = "weights/epoch=0/layer=L_hidden/step-3-r0-g0.parquet";
    let footer = footer(bytes);
    let record = json!({
        "number": 0,
        "nonce": "00000000000000aa",
        "time": "2026-01-01T00:00:00.000Z",
        "rank": 0,
        "captures": [{"epoch": 0, "step": 3}],
        "files": [{
            "table": "weights",
            "epoch": 0,
            "layer": "L_hidden",
            "path": path,
            "rows": 2,
            "bytes": bytes.len(),
            "footer_bytes": footer.map_or(0, |footer| footer.bytes),
            "footer_crc32c": footer.map_or(Crc32c::of(&[]), |footer| footer.crc32c).to_string(),
            "crc32c": Crc32c::of(bytes).to_string(),
        }],
    });
    ask(&[
        ("run.json", RUN_JSON),
        (path, bytes),
        (
            "commits/00000000000000000000.json",
            &signed(record.to_string().as_bytes()),
        ),
    ]);
}

/// Asks a run of these files for all that is asked of runs without DataFusion.
fn ask(files: &[(&str, &[u8])]) {
    let dir = run_of(files);
    let path = dir.path();
    match RunDir::open(path) {
        Err(error) => told(&error),
        Ok(run) => ask_run(&run),
    }
    let options = RepairOptions {
        dry_run: true,
        unchecked: true,
    };
    match repair(path, options) {
        Ok(report) => _ = format!("{report:?}"),
        Err(error) => told(&error),
    }
}

fn ask_run(run: &RunDir) {
    for layer in run.info().layers.layers() {
        _ = layer.units().take(MAX_UNITS).count();
        _ = run.info().layers.activated(layer.layer_index as usize);
        for range in layer.source.iter().flatten() {
            _ = range.units().take(MAX_UNITS).count();
        }
    }
    let catalog = Catalog::load(run).or_else(|error| {
        told(&error);
        Catalog::salvage(run).map(|(catalog, faults)| {
            faults.iter().for_each(|fault| told(fault));
            catalog
        })
    });
    if let Ok(catalog) = catalog {
        _ = catalog.ending(run.info().world_size);
        for file in catalog.files() {
            _ = (file.step(), PartFile::committed(run, &file));
        }
    }
    match sink::verify(run, &|_| {}) {
        Ok(report) => _ = format!("{report:?}"),
        Err(error) => told(&error),
    }
    match sink::run_stats(run) {
        Ok(stats) => _ = format!("{stats:?}"),
        Err(error) => told(&error),
    }
}

fn run_of(files: &[(&str, &[u8])]) -> TempDir {
    let dir = tempfile::tempdir().expect("a temporary directory");
    fs::create_dir(dir.path().join("commits")).expect("a directory in it");
    for (path, bytes) in files {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap_or(Path::new(""))).expect("a directory in it");
        fs::write(path, bytes).expect("a file in it");
    }
    dir
}

/// The record with the checksum that it should have.
fn signed(bytes: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_end();
    let unsigned = match text.rfind(RECORD_KEY) {
        Some(at) => &text[..at],
        None => text.strip_suffix('}').unwrap_or(text),
    };
    let crc32c = Crc32c::of(unsigned.as_bytes());
    format!("{unsigned}{RECORD_KEY}{crc32c}\"}}\n").into_bytes()
}

/// The roll-up with the checksum that it should have, if it has a place for one.
fn with_digits(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let found = bytes
        .windows(ROLLUP_KEY.len())
        .rposition(|window| window == ROLLUP_KEY);
    let start = found.map(|at| at + ROLLUP_KEY.len() + ROLLUP_GAP);
    if let Some(digits) = start.map(|start| start..start + ROLLUP_DIGITS.len())
        && digits.end <= bytes.len()
    {
        bytes[digits.clone()].copy_from_slice(ROLLUP_DIGITS);
        let crc32c = Crc32c::of(&bytes).to_string();
        bytes[digits].copy_from_slice(crc32c.as_bytes());
    }
    bytes
}

/// What a commit says of a part file's end.
fn footer(bytes: &[u8]) -> Option<Footer> {
    let (rest, tail) = bytes.split_last_chunk::<TAIL_BYTES>()?;
    let length = u32::from_le_bytes([tail[0], tail[1], tail[2], tail[3]]) as usize;
    let start = rest.len().checked_sub(length)?;
    Some(Footer {
        bytes: (bytes.len() - start) as u64,
        crc32c: Crc32c::of(&bytes[start..]),
    })
}

/// An error is told with its causes, as programs do.
fn told(error: &dyn std::error::Error) {
    _ = with_causes(error);
}
