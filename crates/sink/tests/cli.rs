//! The program `sink`, as users run it.
#![allow(clippy::unwrap_used, reason = "test code")]

#[path = "../../trace/src/testing.rs"]
mod testing;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use sink::{Closing, Part, Sink, SinkOptions};
use testing::{capture, capture_parts, create_run};
use trace::RunDir;

fn sink(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sink"))
        .args(args)
        .env_remove("RUST_LOG")
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn recorded(path: &Path) -> RunDir {
    recorded_until(path, Closing::Finished)
}

fn recorded_until(path: &Path, closing: Closing) -> RunDir {
    recorded_of(path, 2, closing)
}

fn recorded_of(path: &Path, num_epochs: i32, closing: Closing) -> RunDir {
    let run = create_run(path);
    let sink = Sink::start(&run, SinkOptions::default()).unwrap();
    for epoch in 0..num_epochs {
        let mut open = sink.begin(Some(capture(epoch)));
        for (path, rows) in capture_parts(epoch) {
            open.send(Part { path, rows }).unwrap();
        }
        open.end().unwrap();
    }
    sink.close(closing).1.unwrap();
    run
}

#[test]
fn verify_says_that_a_run_is_whole_and_ends_with_0() {
    let dir = tempfile::tempdir().unwrap();
    let run = recorded(&dir.path().join("run"));
    let path = run.path().to_str().unwrap();
    let output = sink(&["verify", path]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(text(&output.stderr), "");
    let stdout = text(&output.stdout);
    assert!(
        stdout.starts_with(&format!("{path}: whole; 2 captures in ")),
        "{stdout}"
    );
    assert!(stdout.contains(", 6 files, 16 rows, "), "{stdout}");
}

#[test]
fn verify_names_what_is_damaged_and_ends_with_1() {
    let dir = tempfile::tempdir().unwrap();
    let run = recorded(&dir.path().join("run"));
    let damaged = "metrics/epoch=1/step-48-r0-g0.parquet";
    fs::remove_file(run.path().join(damaged)).unwrap();
    let stray = "metrics/epoch=1/step-48-r0-g7.parquet";
    fs::write(run.path().join(stray), "x").unwrap();
    let output = sink(&["verify", run.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let lines: Vec<&str> = text(&output.stdout).lines().collect();
    assert_eq!(
        lines[0],
        format!("{damaged}: presence: expected a file, found nothing")
    );
    assert_eq!(
        lines[1],
        "1 file is not committed and no part of the run (left by a recorder that was interrupted, unless \
         somebody changed the run by hand):"
    );
    assert_eq!(lines[2], format!("  {stray} (1 B)"));
    assert!(lines[3].contains("with --salvage"), "{}", lines[3]);
    assert!(lines[4].contains(": 1 problem; "), "{}", lines[4]);
}

#[test]
fn verify_says_to_keep_what_a_damaged_commit_may_have_named() {
    let dir = tempfile::tempdir().unwrap();
    let run = recorded(&dir.path().join("run"));
    let mut commits: Vec<_> = fs::read_dir(run.commits_dir()).unwrap().collect();
    commits.sort_by_key(|entry| entry.as_ref().unwrap().path());
    for commit in commits {
        let path = commit.unwrap().path();
        let mut bytes = fs::read(&path).unwrap();
        bytes[30] ^= 1;
        fs::write(&path, bytes).unwrap();
    }
    let output = sink(&["verify", run.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let stdout = text(&output.stdout);
    assert!(
        stdout.contains(
            "6 files are named by no commit that can be read, and may belong to one that is missing or \
             damaged (see above): keep what is listed here\n"
        ),
        "{stdout}"
    );
    assert!(!stdout.contains("no part of the run"), "{stdout}");
    // A run.json that was changed takes no file away.
    let run = recorded(&dir.path().join("other"));
    let json = fs::read_to_string(run.path().join("run.json")).unwrap();
    let changed = json.replacen("\"seed\": 42", "\"seed\": 43", 1);
    assert_ne!(changed, json);
    fs::write(run.path().join("run.json"), changed).unwrap();
    let stray = "metrics/epoch=1/step-48-r0-g7.parquet";
    fs::write(run.path().join(stray), "x").unwrap();
    let output = sink(&["verify", run.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let stdout = text(&output.stdout);
    assert!(
        stdout.contains("1 file is not committed and no part of the run"),
        "{stdout}"
    );
}

#[test]
fn stats_is_a_table_by_table_and_layer() {
    let dir = tempfile::tempdir().unwrap();
    let run = recorded(&dir.path().join("run"));
    let output = sink(&["stats", run.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0));
    let lines: Vec<Vec<&str>> = text(&output.stdout)
        .lines()
        .skip(2)
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(
        lines[0],
        ["table", "layer", "files", "rows", "bytes", "bytes/weight"]
    );
    assert_eq!(lines[1][..4], ["weights", "L_hidden_1", "2", "8"]);
    assert_eq!(lines[2][..4], ["weights", "L_output", "2", "4"]);
    assert_eq!(lines[3][..3], ["metrics", "2", "4"]);
    assert_eq!(lines[4][..3], ["total", "6", "16"]);
    // 2 captures of 4 neurons of 3 weights.
    let bytes: f64 = lines[1][4].parse().unwrap();
    assert_eq!(lines[1][5], format!("{:.2}", bytes / 24.0));
}

/// Of a run that is not finished the metrics say what was lost.
#[test]
fn stats_tells_all_but_what_a_damaged_file_says_and_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let run = recorded_until(&dir.path().join("run"), Closing::BrokenOff);
    let path = run.path().to_str().unwrap();
    let whole = sink(&["stats", path]);
    assert_eq!(whole.status.code(), Some(0), "{whole:?}");
    let metrics = "metrics/epoch=1/step-48-r0-g0.parquet";
    fs::write(run.path().join(metrics), "x").unwrap();
    let output = sink(&["stats", path]);
    assert_eq!(output.status.code(), Some(1));
    let stdout = text(&output.stdout);
    let table = text(&whole.stdout).split_once("\n\n").unwrap().1;
    assert!(stdout.contains(table), "{stdout}");
    let last = stdout.lines().last().unwrap();
    let says = format!("{path}/{metrics} is shorter than ");
    assert!(
        last.starts_with(&says) && last.contains("`sink verify`"),
        "{stdout}"
    );
}

#[test]
fn what_is_no_run_is_said_and_ends_with_1() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing");
    for verb in ["verify", "stats", "repair", "upgrade"] {
        let output = sink(&[verb, missing.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(1));
        let stderr = text(&output.stderr);
        assert!(stderr.starts_with("error: there is no run at "), "{stderr}");
    }
}

#[test]
fn a_run_that_lost_its_commits_is_an_error_and_not_empty() {
    let dir = tempfile::tempdir().unwrap();
    let run = recorded(&dir.path().join("run"));
    let commits = run.commits_dir();
    fs::remove_dir_all(&commits).unwrap();
    for verb in ["verify", "stats"] {
        let output = sink(&[verb, run.path().to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(text(&output.stdout), "");
        let expected = format!(
            "error: {} is missing, and there are files, as ",
            commits.display()
        );
        let stderr = text(&output.stderr);
        assert!(stderr.starts_with(&expected), "{stderr}");
    }
    // There are names in it, of which none is a record's.
    let run = recorded(&dir.path().join("other"));
    for entry in fs::read_dir(run.commits_dir()).unwrap() {
        let path = entry.unwrap().path();
        fs::rename(&path, path.with_extension("json.bak")).unwrap();
    }
    let output = sink(&["verify", run.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let stderr = text(&output.stderr);
    assert!(
        stderr.contains("commits has no commits, and there are files, as "),
        "{stderr}"
    );
    let output = sink(&["repair", run.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let stdout = sink(&["verify", run.path().to_str().unwrap()]).stdout;
    assert!(
        text(&stdout).contains("whole; 2 captures in "),
        "{}",
        text(&stdout)
    );
    // Nothing says that anything was committed: then these files are a killed recorder's.
    let run = recorded(&dir.path().join("third"));
    for entry in fs::read_dir(run.commits_dir()).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    let output = sink(&["verify", run.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0));
    let stdout = text(&output.stdout);
    assert!(
        stdout.contains("keep a copy if you know better"),
        "{stdout}"
    );
}

/// A line a file would be as many as there are files.
#[test]
fn a_repair_of_many_files_lists_some_and_says_where_all_are() {
    let dir = tempfile::tempdir().unwrap();
    let run = recorded_of(&dir.path().join("run"), 25, Closing::Finished);
    for epoch in 0..24 {
        let metrics = run.path().join(format!("metrics/epoch={epoch}"));
        for entry in fs::read_dir(metrics).unwrap() {
            fs::write(entry.unwrap().path(), "x").unwrap();
        }
    }
    let path = run.path().to_str().unwrap();
    let would = sink(&["repair", "--dry-run", path]);
    let stdout = text(&would.stdout);
    assert!(stdout.contains("  ... and "), "{stdout}");
    assert!(!stdout.contains("has all of it"), "{stdout}");
    let repaired = sink(&["repair", path]);
    assert_eq!(repaired.status.code(), Some(0), "{repaired:?}");
    let stdout = text(&repaired.stdout);
    let of_file = |line: &&str| line.contains("metrics/epoch=");
    assert!(stdout.lines().filter(of_file).count() <= 60, "{stdout}");
    let told = stdout
        .lines()
        .find_map(|line| line.strip_suffix(" has all of it"));
    let report = fs::read_to_string(run.path().join(told.unwrap())).unwrap();
    for epoch in 0..24 {
        assert!(
            report.contains(&format!("metrics/epoch={epoch}/")),
            "{report}"
        );
    }
}

#[test]
fn wrong_usage_ends_with_2_and_verbs_that_do_not_work_yet_are_absent() {
    assert_eq!(sink(&["verify"]).status.code(), Some(2));
    assert_eq!(sink(&["repair", "run", "--force"]).status.code(), Some(2));
    assert_eq!(sink(&["compact", "run"]).status.code(), Some(2));
    let help = sink(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    let help = text(&help.stdout);
    for verb in ["verify", "repair", "upgrade", "stats"] {
        assert!(help.contains(&format!("\n  {verb} ")), "{help}");
    }
    assert!(!help.contains("compact"), "{help}");
}

/// What verify says is repaired is, and for what is not it says what to do.
#[test]
fn verify_sends_nobody_to_a_repair_that_does_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let file = "weights/epoch=1/layer=L_hidden_1/step-48-r0-g0.parquet";
    let damaged = recorded(&dir.path().join("damaged"));
    fs::write(damaged.path().join(file), "x").unwrap();
    // The bytes are those that were committed, and the rows not all that the layer has.
    let lacking = create_run(&dir.path().join("lacking"));
    let sink_of = Sink::start(&lacking, SinkOptions::default()).unwrap();
    let mut open = sink_of.begin(Some(capture(1)));
    for (path, rows) in capture_parts(1) {
        let rows = match path.to_string() == file {
            true => rows.slice(0, 3),
            false => rows,
        };
        open.send(Part { path, rows }).unwrap();
    }
    open.end().unwrap();
    sink_of.finish().unwrap();
    for (run, is_repaired) in [(damaged, true), (lacking, false)] {
        let path = run.path().to_str().unwrap();
        let verified = sink(&["verify", path]);
        assert_eq!(verified.status.code(), Some(1), "{verified:?}");
        let stdout = text(&verified.stdout);
        let says = |words: &str| stdout.contains(words);
        assert_eq!(
            says("`sink repair` makes it whole again"),
            is_repaired,
            "{stdout}"
        );
        assert_eq!(
            says("`sink repair` leaves files that have"),
            !is_repaired,
            "{stdout}"
        );
        let repaired = sink(&["repair", "--dry-run", path]);
        let is_nothing = text(&repaired.stdout).ends_with("nothing to repair\n");
        assert_eq!(is_nothing, !is_repaired, "{repaired:?}");
    }
}
