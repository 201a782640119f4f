//! What comes from elsewhere may be anything: no parser panics, hangs, or takes gigabytes, whatever it is given.
//!
//! Each target is a function of bytes. Here it is given the corpus, and then, for some seconds, what is in the
//! corpus with changes that its format suggests, the same ones for the same seed.
//!
//! `STRATIGRAPH_FUZZ_SECONDS=600` is the long form, by target; `STRATIGRAPH_SEED` chooses other changes.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on ends, in its helpers as well"
)]

mod bounds;
mod checkpoints;
mod data;
mod mutate;
mod queries;
mod runs;
mod seeds;
mod watched;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use mutate::{Format, Rng, changed};
use stratigraph::announce;
use watched::Watched;

/// How long a target is given changed inputs, unless told otherwise.
const SECONDS: f64 = 1.5;

fn number(variable: &str) -> Option<f64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable}={text} is no number")),
    )
}

fn corpus(name: &str) -> PathBuf {
    stratigraph::workspace_root()
        .join("tests/fuzz/corpus")
        .join(name)
}

/// The inputs that are kept of a target, in the order of their names.
fn kept(name: &str) -> Vec<Vec<u8>> {
    let entries = fs::read_dir(corpus(name)).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

fn names(dir: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(stratigraph::workspace_root().join(dir)).unwrap();
    let names = entries.map(|entry| entry.unwrap().path());
    names
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect()
}

/// The crate `fuzz` is compiled by a nightly compiler, and not with these tests.
#[test]
fn all_targets_are_programs_for_libfuzzer() {
    let expected = names("tests/fuzz/corpus");
    assert_eq!(names("fuzz/fuzz_targets"), expected);
    let manifest = fs::read_to_string(stratigraph::workspace_root().join("fuzz/Cargo.toml"));
    let manifest = manifest.unwrap();
    for name in expected {
        let program = format!("name = \"{name}\"\npath = \"fuzz_targets/{name}.rs\"");
        assert!(manifest.contains(&program), "{name}");
    }
}

fn fuzz(name: &'static str, target: fn(&[u8]), format: Format) {
    fuzz_with(name, target, format, Vec::new());
}

/// Gives a target what is kept of it, these inputs, and changed ones.
fn fuzz_with(name: &'static str, target: fn(&[u8]), format: Format, more: Vec<Vec<u8>>) {
    let mut seeds = kept(name);
    seeds.extend(more);
    assert!(!seeds.is_empty(), "{name} has no seed");
    let watched = Watched::new(name, target);
    for seed in &seeds {
        watched.try_input(seed);
    }
    let duration = Duration::from_secs_f64(number("STRATIGRAPH_FUZZ_SECONDS").unwrap_or(SECONDS));
    let seed = number("STRATIGRAPH_SEED").unwrap_or(0.0) as u64;
    let mut rng = Rng(seed);
    let (start, mut num_tried) = (Instant::now(), 0_u64);
    while start.elapsed() < duration {
        watched.try_input(&changed(format, &seeds, &mut rng));
        num_tried += 1;
    }
    announce(&format!(
        "{name}: {} kept inputs, and {num_tried} changed ones in {:.1} s with seed {seed}",
        seeds.len(),
        start.elapsed().as_secs_f64()
    ));
}

#[test]
fn run_json() {
    fuzz("run_json", runs::run_json, Format::Json);
}

#[test]
fn commit_record() {
    fuzz("commit_record", runs::commit_record, Format::Json);
}

#[test]
fn rollup() {
    fuzz("rollup", runs::rollup, Format::Parquet);
}

#[test]
fn part() {
    fuzz("part", runs::part, Format::Parquet);
}

#[test]
fn safetensors() {
    fuzz("safetensors", checkpoints::safetensors, Format::Safetensors);
}

#[test]
fn shard_index() {
    fuzz("shard_index", checkpoints::shard_index, Format::Json);
}

#[test]
fn checkpoint_names() {
    fuzz(
        "checkpoint_names",
        checkpoints::checkpoint_names,
        Format::Text,
    );
}

#[test]
fn schedule() {
    fuzz("schedule", checkpoints::schedule, Format::Text);
}

#[test]
fn layer_globs() {
    fuzz("layer_globs", checkpoints::layer_globs, Format::Text);
}

#[test]
fn csv() {
    fuzz("csv", data::csv, Format::Text);
}

#[test]
fn parquet() {
    fuzz("parquet", data::parquet, Format::Parquet);
}

#[test]
fn idx() {
    fuzz("idx", data::idx, Format::Idx);
}

#[test]
fn query_header() {
    let headers = queries::headers();
    fuzz_with("query_header", queries::query_header, Format::Text, headers);
}

#[test]
fn query_arguments() {
    let seeds = queries::seeds();
    fuzz_with(
        "query_arguments",
        queries::query_arguments,
        Format::Text,
        seeds,
    );
}
