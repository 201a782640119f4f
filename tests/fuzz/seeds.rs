//! Files of runs as this version writes them, which the corpus begins with.

use std::fs;
use std::path::Path;

use fixtures::{Writer, activations, classifications, metrics, tiny, weights};
use serde_json::Value;
use trace::ROLLUP_FANOUT;

use crate::corpus;

/// The run that all of them are of: it is the one that they are put into when they are read.
const RUN_ID: &str = "00000000000000f5";

/// Writes them anew: once the format has changed.
#[test]
#[ignore = "it changes files of the checkout"]
fn seeds_of_runs_are_written_anew() {
    let dir = tempfile::tempdir().unwrap();
    let mut info = tiny::info().unwrap();
    info.run_id = RUN_ID.parse().unwrap();
    let mut writer = Writer::create(&dir.path().join("run"), info).unwrap();
    let lists: [Option<&[f32]>; 2] = [Some(&[1.0, -2.0, 0.5]), Some(&[f32::NAN, 0.0, 3.0])];
    let outputs: [&[f32]; 3] = [&[0.25, 0.75], &[1.0, 0.0], &[0.5, 0.5]];
    let parts = [
        (Some(fixtures::HIDDEN), weights(3, 0, lists)),
        (Some(fixtures::HIDDEN), activations(3, 0, 3, lists)),
        (
            None,
            classifications(
                3,
                &[Some(0), Some(1), None],
                &[Some(1), Some(1), Some(0)],
                outputs,
            ),
        ),
    ];
    writer.capture(0, 3, parts).unwrap();
    for epoch in 1..ROLLUP_FANOUT as i32 {
        let step = 3 * i64::from(epoch) + 3;
        if epoch == 2 {
            let record = dir.path().join(format!("run/commits/{:020}.json", 1));
            keep("commit_record/seed-metrics.json", &untied(&record));
            let record = dir.path().join(format!("run/commits/{:020}.json", 0));
            keep("commit_record/seed-capture.json", &untied(&record));
        }
        let rows = metrics(step, &[(Some("eval"), "loss", 0.5), (None, "sink.ms", 1.0)]);
        writer.beside_captures(epoch, step, rows).unwrap();
    }
    let run = writer.finish();
    keep_file("run_json/seed-tiny.json", &run.path().join("run.json"));
    let rollup = format!(
        "commits/checkpoint-{:020}-{:020}.parquet",
        0,
        ROLLUP_FANOUT - 1
    );
    keep_file("rollup/seed.parquet", &run.path().join(rollup));
    for (name, part) in [
        (
            "weights",
            "weights/epoch=0/layer=L_hidden/step-3-r0-g0.parquet",
        ),
        (
            "activations",
            "activations/epoch=0/layer=L_hidden/step-3-r0-g0.parquet",
        ),
        (
            "classifications",
            "classifications/epoch=0/step-3-r0-g0.parquet",
        ),
        ("metrics", "metrics/epoch=1/step-6-r0-g0.parquet"),
    ] {
        keep_file(&format!("part/seed-{name}.parquet"), &run.path().join(part));
    }
}

/// A record without what ties it to others and to `run.json`.
fn untied(path: &Path) -> Vec<u8> {
    let mut record: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    for key in ["previous_crc32c", "run_crc32c", "crc32c"] {
        record.as_object_mut().unwrap().remove(key);
    }
    record.to_string().into_bytes()
}

fn keep_file(name: &str, path: &Path) {
    keep(name, &fs::read(path).unwrap());
}

fn keep(name: &str, bytes: &[u8]) {
    fs::write(corpus(name), bytes).unwrap();
}
