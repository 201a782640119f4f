//! The captures of a run, written once more from memory: by our sink and by pyarrow.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use sink::{Compress, Sink, SinkOptions, default_num_workers, encode_part};
use trace::RunDir;

use crate::python::Python;
use crate::report::{mebibytes, print_table, time, times};
use crate::runs::{Capture, read_captures};
use crate::statistics::median;

/// Seconds, and the bytes of the part files.
type Written = (f64, f64);

/// Prints what writing the captures takes, with and without making them durable.
pub fn measure(run: &Path, scratch: &Path, python: &Python, rounds: usize) -> Result<()> {
    let run = RunDir::open(run)?;
    let captures = read_captures(&run)?;
    let num_files: usize = captures.iter().map(|capture| capture.parts.len()).sum();
    let threads = default_num_workers().to_string();
    let pyarrow = |sync: bool| -> Result<Written> {
        let out = kept_dir(scratch)?;
        let target = out.join("pyarrow");
        let mut arguments = vec![run.path().as_os_str(), "-o".as_ref(), target.as_os_str()];
        if sync {
            arguments
                .extend(["--fsync", "--threads", &threads].map(AsRef::<std::ffi::OsStr>::as_ref));
        }
        let answer = python.run("write_pyarrow.py", &arguments)?;
        let bytes = answer.last["bytes"].as_f64().context("it says its bytes")?;
        Ok((answer.seconds()?, bytes))
    };
    let ways: [&dyn Fn() -> Result<Written>; 4] = [
        &|| sink_durably(&run, &captures, scratch),
        &|| pyarrow(true),
        &|| encode_alone(&captures, scratch),
        &|| pyarrow(false),
    ];
    let mut measured: [Vec<Written>; 4] = Default::default();
    for round in 0..rounds {
        for (way, measured) in ways.iter().zip(&mut measured) {
            measured.push(way()?);
        }
        eprintln!("write: round {} of {rounds} done", round + 1);
    }
    let [sink, synced, encoded, plain] = measured.map(|written| {
        let (seconds, bytes): (Vec<f64>, Vec<f64>) = written.into_iter().unzip();
        (median(&seconds), median(&bytes))
    });
    let row = |what: &str, ours: Written, theirs: Written| {
        vec![
            what.to_owned(),
            time(ours.0),
            time(theirs.0),
            times(theirs.0 / ours.0),
            mebibytes(ours.1),
            mebibytes(theirs.1),
        ]
    };
    print_table(
        &format!(
            "The same {} captures ({num_files} part files) written from memory, {rounds} rounds",
            captures.len()
        ),
        &[
            "",
            "ours",
            "pyarrow",
            "pyarrow ÷ ours",
            "our bytes",
            "pyarrow's bytes",
        ],
        &[
            row(
                "durable, with commits (ours) or a sync a file (pyarrow)",
                sink,
                synced,
            ),
            row("one thread, nothing made durable", encoded, plain),
        ],
    );
    println!(
        "\nThe sink takes {threads} encoding thread(s) and one that publishes, and commits captures \
         in groups; pyarrow takes {threads}, and has no commits. pyarrow syncs no directory."
    );
    Ok(())
}

/// A new directory that stays until all is measured, so that no round shares the disk with the
/// deletion of the one before.
fn kept_dir(scratch: &Path) -> Result<PathBuf> {
    Ok(tempfile::tempdir_in(scratch)?.keep())
}

/// From the start of a sink until everything is committed.
fn sink_durably(run: &RunDir, captures: &[Capture], scratch: &Path) -> Result<Written> {
    let out = kept_dir(scratch)?;
    let copy = RunDir::create(&out.join("run"), run.info().clone())?;
    let captures = captures.to_owned();
    let start = Instant::now();
    let sink = Sink::start(&copy, SinkOptions::default())?;
    for Capture { id, parts } in captures {
        let mut capture = sink.begin(id);
        for part in parts {
            capture.send(part)?;
        }
        capture.end()?;
    }
    let summary = sink.finish()?;
    Ok((
        start.elapsed().as_secs_f64(),
        summary.stats.part_bytes as f64,
    ))
}

/// One file after the other in one thread, as pyarrow does it.
fn encode_alone(captures: &[Capture], scratch: &Path) -> Result<Written> {
    let out = kept_dir(scratch)?;
    let mut bytes = 0;
    let start = Instant::now();
    for part in captures.iter().flat_map(|capture| &capture.parts) {
        let path = out.join(part.path.to_string());
        std::fs::create_dir_all(path.parent().context("a part lies in a partition")?)?;
        let mut file =
            encode_part(part, Compress::Auto, BufWriter::new(File::create(path)?))?.output;
        file.flush()?;
        bytes += file.get_ref().metadata()?.len();
    }
    Ok((start.elapsed().as_secs_f64(), bytes as f64))
}
