//! What SQL over a run refuses, put to the program and its shell: `tests/slt/read_only.slt` has the statements.

use std::fs;
use std::path::Path;

use super::{Bench, entries, shell::shell, text};

/// The statements, with the words of their errors as a pattern; what they name is in `dir`.
fn refused(dir: &Path) -> Vec<(String, String)> {
    let table = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/slt/read_only.slt");
    let table = fs::read_to_string(table).unwrap();
    let table = table.replace("$__TEST_DIR__", dir.to_str().unwrap());
    let records = table.split("\n\n").filter_map(|record| {
        let (words, sql) = record
            .trim()
            .strip_prefix("query error ")?
            .split_once('\n')?;
        Some((words.to_owned(), sql.to_owned()))
    });
    records.collect()
}

/// Whether the pieces of a pattern between its `.*` are in a text, in order.
fn fits(pattern: &str, text: &str) -> bool {
    let pattern = pattern.replace('\\', "");
    let mut rest = text;
    pattern
        .split(".*")
        .all(|piece| match rest.split_once(piece) {
            Some((_, behind)) => {
                rest = behind;
                true
            }
            None => false,
        })
}

#[test]
fn a_shell_refuses_what_is_no_question_and_writes_nothing() {
    let bench = Bench::new();
    fs::create_dir(bench.path("outside")).unwrap();
    fs::write(bench.path("outside/notes.csv"), "a\n7351\n").unwrap();
    // At a semicolon the shell ends a statement.
    let refused: Vec<_> = refused(&bench.path("outside"))
        .into_iter()
        .filter(|(_, sql)| !sql.contains(';'))
        .collect();
    assert!(refused.len() > 200);
    let input: String = refused.iter().map(|(_, sql)| format!("{sql};\n")).collect();
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
    for ((words, sql), error) in refused.iter().zip(errors) {
        assert!(fits(words, error), "{sql}: {error}");
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
