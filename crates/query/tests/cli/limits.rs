//! `--timeout`: an answer that takes too long is given up.

use std::fs;
use std::time::{Duration, Instant};

use super::{Bench, entries, shell::shell, text};

/// Ten billion pairs, none of which is kept.
const ENDLESS: &str = "SELECT a.value FROM range(1, 100000) a, range(1, 100000) b \
                       WHERE a.value * b.value = -1";

/// More than anything takes that is given up after half a second.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn an_answer_that_takes_too_long_is_given_up_and_leaves_nothing() {
    let bench = Bench::new();
    let before = entries(bench.dir.path());
    let cases = [
        &["sql", "run", ENDLESS, "--timeout", "500ms"][..],
        &["sql", "run", ENDLESS, "--timeout", "0.5s", "-o", "rows.csv"],
        &[
            "plot",
            "curves",
            "run",
            "-o",
            "curves.svg",
            "--timeout",
            "1ms",
        ],
        &["report", "run", "-o", "report.html", "--timeout", "1ms"],
        &["structures", "find", "run", "--timeout", "1ms"],
    ];
    for arguments in cases {
        let began = Instant::now();
        let (status, error) = bench.failure(arguments);
        assert!(began.elapsed() < PATIENCE, "{arguments:?}");
        assert_eq!(status, Some(124), "{arguments:?}: {error}");
        assert!(
            error.starts_with("error: no answer within ")
                && error.contains("`--timeout` sets how long")
                && error.contains("ask for less"),
            "{arguments:?}: {error}"
        );
        assert_eq!(entries(bench.dir.path()), before, "{arguments:?}");
    }
}

#[test]
fn an_answer_in_time_is_given() {
    let bench = Bench::new();
    let sql = "SELECT count(*) AS n FROM weights";
    let arguments = ["sql", "run", sql, "--timeout", "5min", "--format", "csv"];
    assert_eq!(bench.stdout(&arguments), "n\n20\n");
    for wrong in ["5", "0s", "soon"] {
        let (status, error) = bench.failure(&["sql", "run", sql, "--timeout", wrong]);
        assert_eq!(status, Some(2), "{wrong}");
        assert!(error.contains("90s"), "{error}");
    }
    let live = ["report", "run", "-o", "x.html", "--live", "--timeout", "1s"];
    assert_eq!(bench.failure(&live).0, Some(2));
}

#[test]
fn a_shell_gives_up_what_takes_too_long_and_answers_the_next_question() {
    let bench = Bench::new();
    // Several at a time would keep all threads, if the next question had the same ones.
    let input = format!(
        ".format csv\n.output rows.csv\nSELECT 1 AS a;\n{ENDLESS};\n{ENDLESS};\n{ENDLESS};\n.output\n\
         SELECT count(*) AS n FROM weights;\n"
    );
    let began = Instant::now();
    let output = shell(&bench, &["shell", "run", "--timeout", "300ms"], &input);
    assert!(began.elapsed() < PATIENCE);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stdout), "n\n20\n");
    let stderr = text(&output.stderr);
    assert_eq!(
        stderr.matches("no answer within 300ms").count(),
        3,
        "{stderr}"
    );
    let written = fs::read_to_string(bench.path("rows.csv")).unwrap();
    assert_eq!(written, "a\n1\n");
}
