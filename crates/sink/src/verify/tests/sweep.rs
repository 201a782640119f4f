//! Every byte of a small run is changed, every file cut at every length, files change places: whoever reads
//! it gets an error that names a file, or the right answer, and a repair leaves what is whole.
//!
//! A part of the places is looked at; `STRATIGRAPH_SWEEP=1` looks at all of them, and repairs one of 29.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::fs;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use trace::{
    CaptureId, Catalog, PartFile, PartReader, RepairOptions, RunDir, Table, Topology, repair,
    with_causes,
};

use super::{recorded_one_by_one, verify};
use crate::testing::{capture, create_run};
use crate::{Part, Sink, SinkOptions};

/// Of so many places one is looked at, unless all are.
const STRIDE: usize = 29;

/// Of so many of these places one is repaired as well, which takes longer.
const REPAIR_STRIDE: usize = 13;

/// More memory than that nothing takes, whatever a file says.
const MAX_GROWTH_BYTES: u64 = 512 << 20;

fn stride(short: usize) -> usize {
    match std::env::var_os("STRATIGRAPH_SWEEP") {
        Some(_) => 1,
        None => short,
    }
}

/// What a run says: its layers, its captures, and the rows of each file.
#[derive(Debug, Clone, PartialEq)]
struct Answer {
    layers: Topology,
    captures: Vec<CaptureId>,
    files: BTreeMap<String, RecordBatch>,
}

/// What is told of a run, or an error, with its causes.
fn asked(path: &Path) -> Result<Answer, String> {
    let run = RunDir::open(path).map_err(|error| with_causes(&error))?;
    let catalog = Catalog::load(&run).map_err(|error| with_causes(&error))?;
    let mut files = BTreeMap::new();
    for file in catalog.files() {
        let table: Table = file.table.parse().map_err(|error| with_causes(&error))?;
        let reader = PartReader::try_new(&table.schema(), &all_columns(table), 8192).unwrap();
        let rows = reader.read_whole(&PartFile::committed(&run, &file));
        files.insert(
            file.path.to_owned(),
            rows.map_err(|error| with_causes(&error))?,
        );
    }
    let captures = catalog.captures().iter().map(|capture| capture.id);
    Ok(Answer {
        layers: run.info().layers.clone(),
        captures: captures.collect(),
        files,
    })
}

fn all_columns(table: Table) -> Vec<usize> {
    (0..table.schema().fields().len()).collect()
}

/// A run in a directory of its own that is put back after each change.
struct Swept {
    dir: tempfile::TempDir,
    whole: Answer,
    num_changes: usize,
}

impl Swept {
    fn new(record: impl Fn(&Path) -> RunDir) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let run = record(dir.path());
        let whole = asked(run.path()).unwrap();
        assert!(!whole.files.is_empty());
        Self {
            dir,
            whole,
            num_changes: 0,
        }
    }

    fn run(&self) -> PathBuf {
        self.dir.path().join("run")
    }

    /// Gives a file other bytes, asks, and puts it back.
    fn change(&mut self, path: &str, bytes: &[u8], is_repaired: bool) {
        let file = self.run().join(path);
        let before = fs::read(&file).unwrap();
        fs::write(&file, bytes).unwrap();
        let names: &[&str] = &[path];
        self.check(path, names, bytes != before);
        if is_repaired {
            // Of records and run.json nothing is lost, of a part file its capture alone.
            let is_part = !path.starts_with("commits") && path != "run.json";
            let stays =
                |file: &str| !is_part || !file.contains("epoch=1/") || file.starts_with("metrics");
            self.check_repair(path, stays);
        } else {
            fs::write(&file, before).unwrap();
        }
        self.num_changes += 1;
    }

    /// What is said names one of the files, or is right; and `sink verify` tells that something is wrong.
    fn check(&self, change: &str, names: &[&str], is_changed: bool) {
        let run = self.run();
        let answer = asked(&run);
        match &answer {
            Ok(answer) => assert_eq!(answer, &self.whole, "{change}"),
            Err(error) => {
                let names_one = names.iter().any(|name| error.contains(name));
                assert!(names_one, "{change}: {error}");
            }
        }
        if !is_changed {
            return;
        }
        let verified = RunDir::open(&run).map(|run| verify(&run, &|_| {}));
        let is_found = match verified {
            Ok(Ok(report)) => !report.problems.is_empty(),
            Ok(Err(_)) | Err(_) => true,
        };
        // White space behind a record is none of what it says.
        assert!(is_found || answer.is_ok(), "{change}");
    }

    /// A repair leaves nothing that is wrong, and nothing that was not there. The run is then put back.
    fn check_repair(&self, change: &str, stays: impl Fn(&str) -> bool) {
        let run = self.run();
        let aside = self.dir.path().join("aside");
        let repaired = repair(&run, RepairOptions::default());
        let report =
            repaired.unwrap_or_else(|error| panic!("{change}: {error}: {:?}", error.source()));
        let answer = asked(&run).unwrap_or_else(|error| panic!("{change}: {error}: {report:?}"));
        assert_eq!(
            layer_sizes(&answer.layers),
            layer_sizes(&self.whole.layers),
            "{change}"
        );
        for (path, rows) in &answer.files {
            assert_eq!(self.whole.files.get(path), Some(rows), "{change}: {path}");
        }
        let mut kept = self.whole.files.keys().filter(|path| stays(path));
        assert!(
            kept.all(|path| answer.files.contains_key(path)),
            "{change}: {report:?}"
        );
        let is_there = |id: &CaptureId| self.whole.captures.contains(id);
        assert!(answer.captures.iter().all(is_there), "{change}");
        let opened = RunDir::open(&run).unwrap();
        let verified = verify(&opened, &|_| {}).unwrap();
        assert_eq!(verified.problems, [], "{change}: {report:?}");
        // As it was: the copy is made once.
        fs::remove_dir_all(&run).unwrap();
        copy(&aside, &run);
    }

    /// Keeps the run as it is, to be put back.
    fn keep(&self) {
        copy(&self.run(), &self.dir.path().join("aside"));
    }
}

fn layer_sizes(layers: &Topology) -> Vec<(String, u32, u32, i32)> {
    let layers = layers.layers().iter();
    let size = layers.map(|layer| {
        let label = layer.layer.as_str().to_owned();
        (label, layer.fan_in, layer.num_units, layer.first_neuron)
    });
    size.collect()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).unwrap()),
        }
    }
}

/// Captures that were rolled up, and one behind them.
fn rolled_up(dir: &Path) -> RunDir {
    let run = create_run(&dir.join("run"));
    for epochs in [0..5, 5..6] {
        let sink = Sink::start(&run, SinkOptions::default()).unwrap();
        for epoch in epochs {
            let mut open = sink.begin(Some(capture(epoch)));
            for (path, rows) in crate::testing::capture_parts(epoch) {
                open.send(Part { path, rows }).unwrap();
            }
            open.end().unwrap();
            sink.flush().unwrap();
        }
        sink.finish().unwrap();
    }
    run
}

/// The names of the files in a directory of the run, in order.
fn names(run: &Path, dir: &str) -> Vec<String> {
    let entries = fs::read_dir(run.join(dir)).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| format!("{dir}/{}", entry.unwrap().file_name().to_str().unwrap()))
        .collect();
    names.sort();
    names
}

const PART: &str = "weights/epoch=1/layer=L_hidden_1/step-48-r0-g0.parquet";

/// The most memory that the process has taken so far, in bytes.
fn peak_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes * 1024)
}

/// Sweeps over the bytes and lengths of files.
fn sweep(swept: &mut Swept, files: &[String]) {
    swept.keep();
    let before = peak_bytes();
    for path in files {
        let bytes = fs::read(swept.run().join(path)).unwrap();
        let masks: &[u8] = match stride(STRIDE) {
            1 => &[0x01, 0x80, 0xff],
            _ => &[0x01],
        };
        // Of so many places one is repaired: all repairs would take hours.
        let repaired = stride(REPAIR_STRIDE) * STRIDE;
        for at in (0..bytes.len()).step_by(stride(STRIDE)) {
            for &mask in masks {
                let mut damaged = bytes.clone();
                damaged[at] ^= mask;
                let is_repaired = at.is_multiple_of(repaired) && mask == 0x01;
                swept.change(path, &damaged, is_repaired);
            }
        }
        for length in (0..bytes.len()).step_by(stride(STRIDE)) {
            let is_repaired = length.is_multiple_of(repaired);
            swept.change(path, &bytes[..length], is_repaired);
        }
        let mut longer = bytes.clone();
        longer.extend_from_slice(b"PAR1 and more");
        swept.change(path, &longer, true);
    }
    if let (Some(before), Some(after)) = (before, peak_bytes()) {
        assert!(
            after < before + MAX_GROWTH_BYTES,
            "{before} to {after} bytes"
        );
    }
    assert!(
        swept.num_changes > files.len() * 10,
        "{}",
        swept.num_changes
    );
}

#[test]
fn damage_to_records_and_run_json_is_found() {
    let mut swept = Swept::new(recorded_one_by_one);
    let mut files = names(&swept.run(), "commits");
    files.push("run.json".to_owned());
    sweep(&mut swept, &files);
}

#[test]
fn damage_to_roll_ups_is_found() {
    let mut swept = Swept::new(rolled_up);
    let files = names(&swept.run(), "commits");
    assert!(
        files.iter().any(|path| path.ends_with(".parquet")),
        "{files:?}"
    );
    sweep(&mut swept, &files);
}

#[test]
fn damage_to_a_part_file_is_found() {
    let mut swept = Swept::new(recorded_one_by_one);
    sweep(&mut swept, &[PART.to_owned()]);
}

/// Two files change places, one takes the place of another, one is there twice, one has another name, one
/// is gone.
#[test]
fn files_in_the_place_of_others_are_found() {
    for record in [recorded_one_by_one as fn(&Path) -> RunDir, rolled_up] {
        let swept = Swept::new(record);
        swept.keep();
        let run = swept.run();
        let mut files = names(&run, "commits");
        files.push("run.json".to_owned());
        files.extend(swept.whole.files.keys().take(4).cloned());
        for (index, one) in files.iter().enumerate() {
            let others = files.iter().skip(index + 1).step_by(stride(3));
            for other in others {
                let (a, b) = (run.join(one), run.join(other));
                let (of_a, of_b) = (fs::read(&a).unwrap(), fs::read(&b).unwrap());
                fs::write(&a, &of_b).unwrap();
                // A part of the sweep without words for what is gone: the directory is named.
                let names = [one.as_str(), other, "commits"];
                swept.check(&format!("{other} at {one}"), &names, of_a != of_b);
                fs::write(&b, &of_a).unwrap();
                swept.check(&format!("{one} and {other} swapped"), &names, of_a != of_b);
                swept.check_repair(&format!("{one} and {other} swapped"), |_| false);
            }
            let path = run.join(one);
            let renamed = run.join(format!("{one}.parquet"));
            fs::copy(&path, &renamed).unwrap();
            swept.check(&format!("{one} twice"), &[one], false);
            fs::remove_file(&path).unwrap();
            let gone = [one.as_str(), "commits", "has no run.json"];
            swept.check(&format!("{one} renamed"), &gone, false);
            swept.check_repair(&format!("{one} renamed"), |_| false);
            fs::remove_file(&path).unwrap();
            swept.check(&format!("{one} gone"), &gone, false);
            swept.check_repair(&format!("{one} gone"), |_| false);
        }
    }
}

/// A copy of a record, or of a roll-up, under the name of another.
#[test]
fn names_of_commits_promise_what_is_in_them() {
    let swept = Swept::new(rolled_up);
    swept.keep();
    let commits = names(&swept.run(), "commits");
    for path in &commits {
        for other in [
            "commits/00000000000000000003.json".to_owned(),
            format!("commits/{:020}.json", 40),
            format!("commits/checkpoint-{:020}-{:020}.parquet", 0, 1330),
            format!("commits/checkpoint-{:020}-{:020}.parquet", 2, 1u64 << 48),
        ] {
            if commits.contains(&other) {
                continue;
            }
            fs::copy(swept.run().join(path), swept.run().join(&other)).unwrap();
            let change = format!("{path} as {other}");
            swept.check(&change, &[&other, "commits"], false);
            swept.check_repair(&change, |_| true);
        }
    }
}
