//! `run.json` and the commit records: their JSON Schemas, and the checksums that readers without
//! our code have to compute.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use stratigraph::workspace_root;
use trace::{CommitRecord, RunDir, RunInfo};

use crate::json_schema::JsonSchema;
use crate::{commit_files, footer, footer_key, record, rollup_file};

fn read_json(path: &Path) -> Result<Value> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    serde_json::from_str(&text).with_context(|| path.display().to_string())
}

fn schema(name: &str) -> Result<JsonSchema> {
    JsonSchema::try_new(read_json(&workspace_root().join("schemas").join(name))?)
}

fn commits(run: &RunDir) -> Result<Vec<Value>> {
    commit_files(run, "json")?
        .iter()
        .map(|path| read_json(path))
        .collect()
}

#[test]
fn run_json_has_the_keys_of_its_schema() -> Result<()> {
    let (_dir, run) = record()?;
    let schema = schema("run.schema.json")?;
    let mut info = read_json(&run.path().join("run.json"))?;
    schema.check(&info)?;
    // No key is optional, so those of this run are those of every run.
    let (all, required) = schema.properties()?;
    assert_eq!(all, required);

    // Where sources are not known, the library and the schema both say null.
    info["layers"][0]["source"] = Value::Null;
    serde_json::from_value::<RunInfo>(info.clone())?;
    schema.check(&info)?;

    // Where some units are recorded, both say which.
    info["layers"][0]["recorded_units"] = json!([0, 2]);
    let parsed: RunInfo = serde_json::from_value(info.clone())?;
    assert_eq!(serde_json::to_value(parsed)?, info);
    schema.check(&info)?;

    // Where tensors have names of their own, both say which.
    let tensor = json!({"name": "fc1.weight", "dtype": "F16", "shape": []});
    info["layers"][0]["tensors"] = json!([tensor]);
    let parsed: RunInfo = serde_json::from_value(info.clone())?;
    assert_eq!(serde_json::to_value(parsed)?, info);
    schema.check(&info)?;
    info["layers"][0]["tensors"][0]["another"] = json!(1);
    assert!(schema.check(&info).is_err());
    Ok(())
}

#[test]
fn commit_records_have_the_keys_of_their_schema() -> Result<()> {
    let (_dir, run) = record()?;
    let schema = schema("commit.schema.json")?;
    let commits = commits(&run)?;
    for commit in &commits {
        schema.check(commit)?;
    }
    let (first, others) = commits.split_first().context("a run has commits")?;
    assert!(first.get("session").is_some());
    let copy = first["run_json"].as_str().context("a copy")?;
    assert_eq!(copy, std::fs::read_to_string(run.path().join("run.json"))?);
    assert!(!others.is_empty() && others.iter().all(|commit| commit.get("session").is_none()));

    // The first has none before it, and the last alone is final.
    assert!(first.get("previous_crc32c").is_none());
    for pair in commits.windows(2) {
        assert_eq!(pair[1].get("previous_crc32c"), pair[0].get("crc32c"));
    }
    let is_final = |commit: &&Value| commit.get("final").is_some();
    assert_eq!(commits.iter().filter(is_final).count(), 1);
    assert_eq!(commits.last().context("one")?["final"], true);

    let mut retiring = first.clone();
    retiring["previous_crc32c"] = json!("00000000");
    retiring["final"] = json!(true);
    retiring["retired"] = json!(["weights/epoch=0/layer=L_input/step-1-r0-g0.parquet"]);
    let record: CommitRecord = serde_json::from_value(retiring)?;
    let record: Value = serde_json::from_slice(&record.encode())?;
    schema.check(&record)?;
    let mut present: Vec<&str> = record
        .as_object()
        .context("an object")?
        .keys()
        .map(String::as_str)
        .collect();
    present.sort_unstable();
    let (all, required) = schema.properties()?;
    assert_eq!(all, present);
    let optional: Vec<&str> = all
        .into_iter()
        .filter(|key| !required.contains(key))
        .collect();
    assert_eq!(
        optional,
        ["final", "previous_crc32c", "retired", "run_json", "session"]
    );
    Ok(())
}

#[test]
fn the_schemas_refuse_what_is_something_else() -> Result<()> {
    let (_dir, run) = record()?;
    let info = read_json(&run.path().join("run.json"))?;
    let commit = commits(&run)?.swap_remove(0);
    let change =
        |document: &Value, pointer: &str, key: &str, value: Option<Value>| -> Result<Value> {
            let mut changed = document.clone();
            let object = changed.pointer_mut(pointer).and_then(Value::as_object_mut);
            let object = object.with_context(|| format!("{pointer} is no object"))?;
            match value {
                Some(value) => object.insert(key.to_owned(), value),
                None => object.remove(key),
            };
            Ok(changed)
        };
    for (name, document, objects) in [
        (
            "run.schema.json",
            &info,
            &["", "/format", "/dataset", "/layers/1", "/layers/1/source/0"][..],
        ),
        (
            "commit.schema.json",
            &commit,
            &["", "/captures/0", "/files/0"][..],
        ),
    ] {
        let schema = schema(name)?;
        schema.check(document)?;
        for object in objects {
            let another = change(document, object, "another", Some(json!(1)))?;
            assert!(
                schema.check(&another).is_err(),
                "{name} {object}: another key"
            );
            let keys = document
                .pointer(object)
                .and_then(Value::as_object)
                .context("an object")?;
            for key in keys.keys() {
                let optional = [
                    "session",
                    "run_json",
                    "layer",
                    "footer_bytes",
                    "footer_crc32c",
                ];
                let is_optional = optional.contains(&key.as_str()) && name.starts_with("commit");
                let without = change(document, object, key, None)?;
                assert_eq!(
                    schema.check(&without).is_ok(),
                    is_optional,
                    "{name} {object} without {key}"
                );
                let wrong = change(document, object, key, Some(json!(0.5)))?;
                assert!(
                    schema.check(&wrong).is_err(),
                    "{name} {object}/{key}: of another type"
                );
            }
        }
    }
    let unknown = JsonSchema::try_new(json!({"items": {"pattern": "^a"}}));
    assert!(unknown.is_err());
    Ok(())
}

/// CRC-32C bit by bit, as `schemas/README.md` words it.
fn crc32c(bytes: &[u8]) -> String {
    let crc = bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 }
        })
    });
    format!("{:08x}", !crc)
}

#[test]
fn checksums_are_what_the_specification_says() -> Result<()> {
    assert_eq!(crc32c(b"123456789"), "e3069283");

    let (_dir, run) = record()?;
    let mut num_files = 0;
    for path in commit_files(&run, "json")? {
        let bytes = fs::read(&path)?;
        let text = std::str::from_utf8(&bytes)?;
        let (before, last) = text.rsplit_once(",\"crc32c\":\"").context("no checksum")?;
        assert_eq!(last, format!("{}\"}}\n", crc32c(before.as_bytes())));
        assert!(!before.contains('\n'));
        for file in read_json(&path)?["files"].as_array().context("files")? {
            let part = fs::read(run.path().join(file["path"].as_str().context("path")?))?;
            assert_eq!(file["crc32c"], json!(crc32c(&part)));
            assert_eq!(file["bytes"], json!(part.len()));
            num_files += 1;
        }
    }
    // 3 layers of weights and activations, classifications and metrics, 3 times, the saved state at the
    // end (3 tensors of each layer), and the last metrics.
    assert_eq!(num_files, 3 * 8 + 3 * 3 + 1);

    let path = rollup_file(&run)?;
    let mut bytes = fs::read(&path)?;
    let metadata = footer(fs::File::open(&path)?)?;
    let digits = footer_key(&metadata, "stratigraph.crc32c").context("no checksum")?;
    let key = b"stratigraph.crc32c";
    let at = bytes
        .windows(key.len())
        .rposition(|window| window == key)
        .context("no key")?;
    let at = at + key.len() + 2;
    ensure!(
        &bytes[at..at + 8] == digits.as_bytes(),
        "the digits are somewhere else"
    );
    bytes[at..at + 8].fill(b'0');
    assert_eq!(digits, crc32c(&bytes));
    Ok(())
}
