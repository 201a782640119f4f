//! What SQL over a run refuses, put to the program and its shell: `tests/slt/read_only.slt` has the statements.

use std::fs;

use fixtures::{Refusal, refusals};

use super::{Bench, entries, shell::shell, text};

#[test]
fn a_shell_refuses_what_is_no_question_and_writes_nothing() {
    let bench = Bench::new();
    fs::create_dir(bench.path("outside")).unwrap();
    fs::write(bench.path("outside/notes.csv"), "a\n7351\n").unwrap();
    // At a semicolon the shell ends a statement.
    let refusals = refusals(&bench.path("outside")).unwrap().into_iter();
    let refused: Vec<Refusal> = refusals
        .filter(|refusal| !refusal.sql.contains(';'))
        .collect();
    assert!(refused.len() > 200);
    let input = refused.iter().map(|refusal| format!("{};\n", refusal.sql));
    let input: String = input.collect();
    let before = (entries(bench.dir.path()), entries(&bench.path("outside")));
    let output = shell(&bench, &["shell", "run"], &input);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stdout), "");
    let stderr = text(&output.stderr);
    assert!(!stderr.contains("7351"), "{stderr}");
    let errors: Vec<&str> = stderr
        .lines()
        .filter(|line| line.starts_with("error: "))
        .collect();
    assert_eq!(errors.len(), refused.len(), "{stderr}");
    for (refusal, error) in refused.iter().zip(errors) {
        assert!(refusal.is_told_by(error), "{}: {error}", refusal.sql);
    }
    let after = (entries(bench.dir.path()), entries(&bench.path("outside")));
    assert_eq!(after, before);
}

/// One of each kind: planning is the shell's.
#[test]
fn the_program_refuses_what_is_no_question() {
    let bench = Bench::new();
    fs::write(bench.path("notes.csv"), "a\n7351\n").unwrap();
    let before = entries(bench.dir.path());
    for sql in [
        "COPY weights TO 'out.csv'",
        "EXPLAIN ANALYZE COPY weights TO 'out.csv'",
        "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION 'notes.csv'",
        "CREATE VIEW v AS SELECT 1",
        "PREPARE p AS SELECT 1",
        "SET datafusion.runtime.memory_limit = '1T'",
        "SELECT 1; COPY weights TO 'out.csv'",
        "SELECT * FROM 'notes.csv'",
        "SELECT * FROM read_csv('notes.csv')",
    ] {
        let (status, error) = bench.failure(&["sql", "run", sql]);
        assert_eq!(status, Some(1), "{sql}");
        assert!(!error.contains("7351"), "{sql}: {error}");
        // Not as the value of a parameter either.
        let value = format!("layer={sql}");
        let (status, error) = bench.failure(&["run", "padded", "run", "--param", &value]);
        assert_eq!(status, Some(1), "{sql}");
        assert!(error.contains("no layer of this run"), "{sql}: {error}");
    }
    assert_eq!(entries(bench.dir.path()), before);
}
