//! `sink verify` and `sink stats` on a real run.

use std::fs;

use stratigraph::{Scratch, run};

/// A recorded run; a weights file of it, relative to the run; and the run's files.
fn recorded() -> (Scratch, &'static str) {
    let scratch = Scratch::new();
    scratch.train(&["--epochs", "3", "--hidden", "8", "--out", "run"]);
    (
        scratch,
        "weights/epoch=1/layer=L_input/step-48-r0-g0.parquet",
    )
}

fn problem(scratch: &Scratch) -> String {
    let verified = run(&mut scratch.sink(&["verify", "run"]));
    assert_eq!(verified.code(), Some(1), "{verified}");
    assert!(
        verified.stdout.contains("run: 1 problem; 3 captures in "),
        "{verified}"
    );
    verified.stdout.lines().next().unwrap().to_owned()
}

#[test]
fn a_whole_run_is_whole() {
    let (scratch, _) = recorded();
    let verified = run(&mut scratch.sink(&["verify", "run"])).expect_success();
    assert!(
        verified.starts_with("run: whole; 3 captures in "),
        "{verified}"
    );
    let stats = run(&mut scratch.sink(&["stats", "run"])).expect_success();
    assert!(stats.contains("epochs 0 to 2"), "{stats}");
    // 8 neurons of 64 weights, three times.
    let line = stats
        .lines()
        .find(|line| line.starts_with("weights") && line.contains("L_input"));
    let cells: Vec<&str> = line.unwrap().split_whitespace().collect();
    assert_eq!(cells[2..4], ["3", "24"]);
}

#[test]
fn one_changed_bit_is_found() {
    let (scratch, file) = recorded();
    let path = scratch.path("run").join(file);
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).unwrap();
    let problem = problem(&scratch);
    assert!(
        problem.starts_with(&format!("{file}: checksum: expected ")),
        "{problem}"
    );
}

#[test]
fn a_missing_file_is_found() {
    let (scratch, file) = recorded();
    fs::remove_file(scratch.path("run").join(file)).unwrap();
    assert_eq!(
        problem(&scratch),
        format!("{file}: presence: expected a file, found nothing")
    );
    // Who asks for it is told the same; who does not, is answered.
    let sql = "SELECT count(neuron) AS n FROM weights WHERE epoch ";
    let asked = run(&mut scratch.query(&["sql", "run", &format!("{sql} = 0"), "--format=csv"]));
    assert_eq!(asked.expect_success(), "n\n18\n");
    let sum = "SELECT vec_sum(weights) FROM weights WHERE layer = 'L_input'";
    let all = run(&mut scratch.query(&["sql", "run", sum]));
    let stderr = all.expect_failure(1);
    assert!(stderr.contains(file), "{stderr}");
}

#[test]
fn a_file_that_was_cut_off_is_found() {
    let (scratch, file) = recorded();
    let path = scratch.path("run").join(file);
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    let expected = format!("{file}: size: expected {} bytes", bytes.len());
    let problem = problem(&scratch);
    assert!(problem.starts_with(&expected), "{problem}");
}

#[test]
fn a_run_without_its_commits_is_not_whole() {
    let (scratch, _) = recorded();
    fs::remove_dir_all(scratch.path("run/commits")).unwrap();
    for verb in ["verify", "stats"] {
        let stderr = run(&mut scratch.sink(&[verb, "run"])).expect_failure(1);
        assert!(
            stderr.contains("run/commits is missing, and there are files"),
            "{stderr}"
        );
    }
    // It may still be read, as a copy made by hand.
    let sql = "SELECT count(*) AS n FROM weights WHERE epoch = 0";
    let asked = run(&mut scratch.query(&["sql", "run", sql, "--format=csv"]));
    assert_eq!(asked.expect_success(), "n\n18\n");
}
