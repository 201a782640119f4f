//! Runs from elsewhere are input: whatever their JSON says, with whatever checksum, nothing outside the
//! run is read, nothing counts to an absurd number, and the error names the file.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stratigraph::{Scratch, run};
use trace::Crc32c;

/// Longer than anything here takes on a slow, busy machine, and shorter than counting to 2³².
const LIMIT: Duration = Duration::from_secs(30);

fn recorded() -> Scratch {
    let scratch = Scratch::new();
    scratch.train(&["--epochs", "1", "--hidden", "4", "--out", "run"]);
    untie(&scratch.path("run"));
    scratch
}

/// Takes from the records what ties them to each other and to `run.json`, as who forges them would: what is
/// changed is refused for what it says.
fn untie(run_dir: &Path) {
    for entry in fs::read_dir(run_dir.join("commits")).unwrap() {
        let path = entry.unwrap().path();
        let mut record: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        for key in ["previous_crc32c", "run_crc32c"] {
            record.as_object_mut().unwrap().remove(key);
        }
        sign(&path, record);
    }
}

/// A record of the run that names a layer's file first, by its path, and what it says.
fn record(run_dir: &Path) -> (PathBuf, Value) {
    let entries = fs::read_dir(run_dir.join("commits")).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let mut records = paths.into_iter().rev().filter_map(|path| {
        let record: Value = serde_json::from_slice(&fs::read(&path).unwrap()).ok()?;
        let is_layers = record["files"][0]["layer"].is_string();
        is_layers.then_some((path, record))
    });
    records.next().expect("a record of few is kept as JSON")
}

/// Signs a record as anybody can, and puts it where it was.
fn sign(path: &Path, mut record: Value) {
    record.as_object_mut().unwrap().remove("crc32c");
    let text = record.to_string();
    let unsigned = text.strip_suffix('}').unwrap();
    let crc32c = Crc32c::of(unsigned.as_bytes());
    fs::write(path, format!("{unsigned},\"crc32c\":\"{crc32c}\"}}\n")).unwrap();
}

/// What every program that reads a run says of it: that it cannot be trusted, by `name`, and soon.
fn assert_refused(scratch: &Scratch, name: &str, because: &str, what: &str) {
    let select = "SELECT count(*) FROM weights";
    let programs = [
        scratch.sink(&["verify", "run"]),
        scratch.sink(&["stats", "run"]),
        scratch.query(&["info", "run"]),
        scratch.query(&["sql", "run", select]),
        scratch.recorder(&["export", "run", "--epoch", "0", "-o", "m.safetensors"]),
    ];
    for mut program in programs {
        let start = Instant::now();
        let said = run(&mut program);
        assert!(start.elapsed() < LIMIT, "{what}: {program:?}");
        assert_eq!(said.code(), Some(1), "{what}: {said}");
        // `sink verify` lists what is wrong with a record, and goes on with the rest.
        let said = said.stdout + &said.stderr;
        assert!(said.contains(name), "{what}: {program:?}: {said}");
        assert!(said.contains(because), "{what}: {program:?}: {said}");
        assert!(!said.contains("panicked"), "{what}: {program:?}: {said}");
    }
    assert!(!scratch.path("m.safetensors").exists(), "{what}");
}

#[test]
fn records_that_name_what_is_no_part_of_a_run_are_refused() {
    let scratch = recorded();
    let run_dir = scratch.path("run");
    let (path, whole) = record(&run_dir);
    let bytes = fs::read(&path).unwrap();
    let name = path.file_name().unwrap().to_str().unwrap();
    let first = &whole["files"][0];
    // What it would lead to is there.
    let outside = scratch.path("outside");
    let of_first = first["path"].as_str().unwrap();
    fs::create_dir_all(outside.join(of_first).parent().unwrap()).unwrap();
    fs::copy(run_dir.join(of_first), outside.join(of_first)).unwrap();
    let up = format!("../outside/{of_first}");
    let absolute = outside.join(of_first).to_str().unwrap().to_owned();
    let inside = format!("weights/../../outside/{of_first}");

    let no_path = "is no path of a table's file";
    let cases = [
        ("/files/0/table", json!("/usr"), "is no table's name"),
        ("/files/0/table", json!("../outside"), "is no table's name"),
        (
            "/files/0/table",
            json!("novel"),
            "is named as a file of table novel",
        ),
        ("/files/0/path", json!(up), no_path),
        ("/files/0/path", json!(absolute), no_path),
        ("/files/0/path", json!(inside), no_path),
        (
            "/files/0/path",
            json!("commits/00000000000000000000.json"),
            no_path,
        ),
        ("/files/0/rows", json!(u64::MAX), "a count of at most 2^48"),
        ("/files/0/bytes", json!(u64::MAX), "a count of at most 2^48"),
        ("/files/0/bytes", json!(-1), "invalid value"),
        ("/files/0/epoch", json!(-2), "is no epoch"),
        ("/files/0/epoch", json!(i32::MAX), "is no epoch"),
        (
            "/files/0/layer",
            json!("../../x"),
            "does not start with a letter",
        ),
        ("/files/0/crc32c", json!("../../xx"), "is no checksum"),
        ("/nonce", json!("../../../../usr"), "is no nonce"),
        ("/number", json!(u64::MAX), "a count of at most 2^48"),
        ("/rank", json!(-1), "is no rank"),
        (
            "/captures",
            json!([{"epoch": 0, "step": i64::MAX}]),
            "is no step",
        ),
        ("/captures", json!([{"epoch": 0, "step": -1}]), "is no step"),
        ("/retired", json!(["../outside/precious"]), no_path),
        ("/retired", json!(["run.json"]), no_path),
    ];
    for (pointer, value, because) in cases {
        let what = format!("{pointer} = {value}");
        let mut record = whole.clone();
        match record.pointer_mut(pointer) {
            Some(place) => *place = value,
            None => record[pointer.trim_start_matches('/')] = value,
        }
        sign(&path, record);
        assert_refused(&scratch, name, because, &what);
    }
    // More rows than a file can have are counted in the file, and not made.
    let mut record = whole.clone();
    record["files"][0]["rows"] = json!(1_u64 << 48);
    sign(&path, record);
    let table = first["table"].as_str().unwrap();
    let started = Instant::now();
    let told = run(&mut scratch.query(&["sql", "run", &format!("SELECT count(*) FROM {table}")]));
    assert!(started.elapsed() < LIMIT, "{told}");
    assert!(!told.stdout.contains("281474976710656"), "{told}");
    // As it was, it is read: what was refused is what was changed.
    fs::write(&path, bytes).unwrap();
    run(&mut scratch.sink(&["verify", "run"])).expect_success();
    let export = ["export", "run", "--epoch", "0", "-o", "m.safetensors"];
    run(&mut scratch.recorder(&export)).expect_success();
}

#[test]
fn an_identity_with_absurd_numbers_is_refused() {
    let scratch = recorded();
    let path = scratch.path("run/run.json");
    let whole: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let huge = json!([u64::MAX, 4]);
    let range =
        json!([{"from": "input", "start": 1, "count": 64, "stride": u32::MAX, "repeat": 1}]);
    let many =
        json!({"from": "input", "start": 0, "count": u32::MAX, "stride": 1, "repeat": u32::MAX});
    let tensor = json!([{"name": "w", "dtype": "F32", "shape": [1u64 << 40, 1u64 << 40]}]);
    let cases = [
        ("/world_size", json!(u32::MAX), "world_size is 4294967295"),
        ("/world_size", json!(0), "world_size is 0"),
        ("/run_id", json!("../../../../usr"), "is no nonce"),
        ("/evaluation_batch_size", json!(0), "a batch of 1"),
        (
            "/dataset/num_held_out",
            json!(u64::MAX),
            "a count of at most 2^48",
        ),
        ("/layers/0/shape", huge, "too many values"),
        ("/layers/0/tensors", tensor, "too many values"),
        ("/layers/0/source", range, "which nobody numbers"),
        (
            "/layers/0/source",
            json!([many.clone(), many]),
            "positions, but its fan-in is",
        ),
        ("/layers/1/num_units", json!(i32::MAX), "more neurons than"),
        ("/layers/1/first_neuron", json!(i32::MAX), "first_neuron is"),
    ];
    for (pointer, value, because) in cases {
        let what = format!("{pointer} = {value}");
        let mut info = whole.clone();
        match info.pointer_mut(pointer) {
            Some(place) => *place = value,
            None => info["layers"][0]["tensors"] = value,
        }
        fs::write(&path, serde_json::to_vec_pretty(&info).unwrap()).unwrap();
        assert_refused(&scratch, "run.json", because, &what);
    }
}

/// What a network could have, and no table can show: nothing is set aside for it.
#[test]
fn as_many_neurons_as_can_be_numbered_are_no_reason_to_take_memory() {
    let scratch = recorded();
    let path = scratch.path("run/run.json");
    let mut info: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let layer = &mut info["layers"][1];
    layer["num_units"] = json!(2_000_000_000);
    layer["fan_in"] = json!(4_000_000_000u32);
    layer["source"] = Value::Null;
    fs::write(&path, serde_json::to_vec_pretty(&info).unwrap()).unwrap();
    for (sql, said) in [
        ("SELECT count(*) FROM neurons", "neurons"),
        ("SELECT count(*) FROM connections()", "fan-in"),
    ] {
        let start = Instant::now();
        let told = run(&mut scratch.query(&["sql", "run", sql])).expect_failure(1);
        assert!(start.elapsed() < LIMIT, "{sql}");
        assert!(told.contains("run.json") && told.contains(said), "{told}");
    }
}

#[test]
fn a_run_of_more_processes_than_anybody_has_is_not_begun() {
    let scratch = Scratch::new();
    let train = ["train", "--device", "cpu", "--epochs", "1", "--out", "run"];
    let mut recorder = scratch.recorder(&train);
    recorder.args(["--world-size", "4294967295"]);
    let said = run(&mut recorder).expect_failure(2);
    assert!(said.contains("not in 1..=65536"), "{said}");
    assert!(!scratch.path("run/run.json").exists());
}
