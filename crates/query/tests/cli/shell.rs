//! `query shell`, as a script uses it.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Output, Stdio};

use super::{Bench, entries, text};

pub(super) fn shell(bench: &Bench, arguments: &[&str], input: &str) -> Output {
    let mut shell = bench
        .command(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    shell
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    shell.wait_with_output().unwrap()
}

#[test]
fn a_shell_takes_statements_and_commands_from_a_script() {
    let output = shell(
        &Bench::new(),
        &["shell", "run"],
        ".format csv\n.schema by_neuron\nSELECT epoch, count(*) AS n\nFROM padded\n\
         GROUP BY epoch ORDER BY epoch; SELECT 1 AS one;\n.quit\nSELECT nonsense;\n",
    );
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(
        text(&output.stdout),
        "\
neuron Int32 NOT NULL
layer Utf8 NOT NULL
weights List(Float32)
epoch,n
0,4
1,4
2,4
one
1
"
    );
}

#[test]
fn a_shell_goes_on_after_a_mistake_and_says_so_at_the_end() {
    let output = shell(
        &Bench::new(),
        &["shell", "run"],
        "SELECT nuron FROM neurons;\n.format csv\nSELECT 2 AS two",
    );
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stdout), "two\n2\n");
    assert!(
        text(&output.stderr).contains("did you mean neuron?"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn a_shell_tells_what_there_is() {
    let bench = Bench::new();
    let told = |command: &str| {
        let output = shell(&bench, &["shell", "run"], command);
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert_eq!(text(&output.stderr), "", "{command}");
        text(&output.stdout)
    };
    let help = told(".help\n");
    for command in [
        ".tables",
        ".schema",
        ".queries",
        ".functions",
        ".describe",
        ".run",
        ".format",
        ".output",
        ".timing",
        ".read",
        ".quit",
    ] {
        assert!(help.contains(&format!("\n{command} ")), "{help}");
    }
    let tables = told(".tables\n");
    let names: Vec<&str> = tables.lines().take(14).collect();
    assert_eq!(
        names,
        [
            "weights",
            "activations",
            "classifications",
            "metrics",
            "histograms",
            "gradients",
            "gradients_applied",
            "moments",
            "structures",
            "ablations",
            "layers",
            "neurons",
            "commits",
            "classification_series (a named query)"
        ]
    );
    assert_eq!(told(".queries\n"), bench.stdout(&["list"]));
    let functions = told(".functions\n");
    for function in ["pad(list, width", "vec_mean(list)", "vec_collect("] {
        assert!(
            functions.lines().any(|line| line.starts_with(function)),
            "{function}: {functions}"
        );
    }
}

#[test]
fn a_shell_lists_table_functions_and_describes_what_query_describes() {
    let bench = Bench::new();
    let told = |command: &str| {
        let output = shell(&bench, &["shell", "run"], command);
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let functions = told(".functions\n");
    for call in ["connections()", "successive_weights()", "last_epoch()"] {
        assert!(functions.lines().any(|line| line == call), "{functions}");
    }
    // Of DataFusion's hundreds only what was asked for.
    assert!(!functions.contains("\nsqrt("), "{functions}");
    assert!(told(".functions sqr\n").starts_with("sqrt("));
    for name in [
        "weights",
        "connections()",
        "bias",
        "vec_mean(a, b)",
        "padded",
    ] {
        assert_eq!(
            told(&format!(".describe {name}\n")),
            bench.stdout(&["describe", name]),
            "{name}"
        );
    }
}

#[test]
fn a_shell_runs_named_queries_with_parameters() {
    let input = ".format csv\n.run by_layer layer='L_output' epoch=1\n.run padded epoch=last\n";
    let bench = Bench::new();
    let output = shell(&bench, &["shell", "run"], input);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let run = |arguments: &[&str]| {
        let params = arguments[1..].iter().flat_map(|value| ["--param", value]);
        let run = ["run", arguments[0], "run", "--format", "csv"].into_iter();
        bench.stdout(&run.chain(params).collect::<Vec<_>>())
    };
    let by_layer = run(&["by_layer", "layer=L_output", "epoch=1"]);
    assert_eq!(by_layer.lines().count(), 3, "{by_layer}");
    let padded = run(&["padded", "epoch=last"]);
    assert_eq!(text(&output.stdout), by_layer + &padded);

    let output = shell(
        &bench,
        &["shell", "run"],
        ".run\n.run weights\n.run padded epoch\n.run padded epohc=1\n.run padded 'epoch\n",
    );
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stdout), "");
    let stderr = text(&output.stderr);
    let mut errors = stderr.lines();
    for told in [
        "error: \".run\" is not understood",
        "error: there is no query \"weights\"; weights is a table",
        "error: \"epoch\": expected key=value",
        "error: padded has no parameter \"epohc\"; did you mean epoch?",
        "error: \".run padded 'epoch\": a quote (') is not closed",
    ] {
        let error = errors.next().unwrap();
        assert!(error.starts_with(told), "{error}");
    }
}

#[test]
fn a_shell_says_how_long_an_answer_took_when_it_is_told_to() {
    let output = shell(
        &Bench::new(),
        &["shell", "run"],
        ".format csv\nSELECT 1 AS a;\n.timing on\nSELECT 2 AS b;\n.timing off\nSELECT 3 AS c;\n\
         .timing\n.run confusion\n",
    );
    assert!(output.status.success(), "{}", text(&output.stderr));
    let stderr = text(&output.stderr);
    assert_eq!(stderr.lines().count(), 2, "{stderr}");
    for line in stderr.lines() {
        let seconds = line
            .strip_prefix("time: ")
            .and_then(|l| l.strip_suffix(" s"));
        let seconds: f64 = seconds.unwrap().parse().unwrap();
        assert!(seconds < 600.0, "{line}");
    }
    assert!(text(&output.stdout).starts_with("a\n1\nb\n2\nc\n3\n"));
}

#[test]
fn a_shell_reads_statements_and_commands_from_files() {
    let bench = Bench::new();
    fs::write(
        bench.path("first.sql"),
        "-- one\nSELECT 1 AS one;\n.read 'the second.sql'\nSELECT 3\nAS three",
    )
    .unwrap();
    fs::write(bench.path("the second.sql"), "SELECT 2 AS two;\n").unwrap();
    let input = ".format csv\n.read first.sql\nSELECT 4 AS four;\n";
    let output = shell(&bench, &["shell", "run"], input);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout), "one\n1\ntwo\n2\nthree\n3\nfour\n4\n");

    fs::write(bench.path("itself.sql"), ".read itself.sql\n").unwrap();
    fs::write(bench.path("quits.sql"), ".quit\n").unwrap();
    let input = ".read nothing.sql\n.read itself.sql\n.read quits.sql\nSELECT 5 AS five;\n";
    let output = shell(&bench, &["shell", "run"], input);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stdout), "");
    let stderr = text(&output.stderr);
    let errors: Vec<&str> = stderr.lines().collect();
    assert_eq!(errors.len(), 2, "{stderr}");
    assert!(
        errors[0].starts_with("error: cannot read nothing.sql: "),
        "{stderr}"
    );
    assert_eq!(
        errors[1],
        "error: itself.sql is not read: 16 files read each other already"
    );
}

#[test]
fn a_shell_writes_answers_to_a_file_until_it_is_told_otherwise() {
    let bench = Bench::new();
    let output = shell(
        &bench,
        &["shell", "run"],
        ".output rows.csv\nSELECT 1 AS a;\nSELECT layer, epoch FROM padded LIMIT 0;\n\
         SELECT nonsense;\n.output\n.format csv\nSELECT 2 AS b;\n",
    );
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stdout), "b\n2\n");
    let stderr = text(&output.stderr);
    assert!(stderr.contains("1 row written to rows.csv"), "{stderr}");
    assert!(stderr.contains("0 rows written to rows.csv"), "{stderr}");
    let written = fs::read_to_string(bench.path("rows.csv")).unwrap();
    assert_eq!(written, "a\n1\nlayer,epoch\n");

    // A file is replaced only by force, and only text is written.
    let output = shell(
        &bench,
        &["shell", "run"],
        ".output rows.csv\n.output rows.parquet\n.output rows.xml\n.output none/rows.csv\n",
    );
    assert_eq!(output.status.code(), Some(1));
    let stderr = text(&output.stderr);
    let mut errors = stderr.lines();
    for told in [
        "error: rows.csv exists; .output --force FILE replaces it",
        "error: a shell writes table, csv, json or jsonl; `query sql RUN",
        "error: the suffix of rows.xml names no format",
        "error: cannot write none/rows.csv",
    ] {
        let error = errors.next().unwrap();
        assert!(error.starts_with(told), "{error}");
    }
    // Two arrays would be no document.
    let input = ".output rows.json\nSELECT 1 AS a;\nSELECT 2 AS b;\n\
                 .output rows.jsonl\nSELECT 1 AS a;\nSELECT 2 AS b;\n";
    let output = shell(&bench, &["shell", "run"], input);
    assert_eq!(output.status.code(), Some(1));
    let stderr = text(&output.stderr);
    assert!(
        stderr.contains(".output FILE.jsonl takes several"),
        "{stderr}"
    );
    let json = fs::read_to_string(bench.path("rows.json")).unwrap();
    assert_eq!(json.split_whitespace().collect::<String>(), "[{\"a\":1}]");
    let lines = fs::read_to_string(bench.path("rows.jsonl")).unwrap();
    assert_eq!(lines, "{\"a\":1}\n{\"b\":2}\n");
    let input = ".output --force rows.csv\nSELECT 3 AS c;\n";
    let output = shell(&bench, &["shell", "run"], input);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let written = fs::read_to_string(bench.path("rows.csv")).unwrap();
    assert_eq!(written, "c\n3\n");
}

#[test]
fn an_answer_that_fails_on_its_way_leaves_nothing_in_a_file() {
    let bench = Bench::new();
    // Rows come in batches of 8,192; the last of them divides by zero.
    let output = shell(
        &bench,
        &["shell", "run"],
        ".output rows.csv\nSELECT 1 AS a;\n\
         SELECT 1 / (value - 99999) AS b FROM range(0, 100000);\nSELECT 2 AS c;\n",
    );
    assert_eq!(output.status.code(), Some(1));
    let written = fs::read_to_string(bench.path("rows.csv")).unwrap();
    assert_eq!(written, "a\n1\nc\n2\n");
}

#[test]
fn what_a_shell_does_not_understand_fails() {
    let output = shell(
        &Bench::new(),
        &["shell", "run"],
        ".nonsense\n.format parquet\n.schema nothing\n",
    );
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stdout), "");
    let stderr = text(&output.stderr);
    let mut errors = stderr.lines();
    for told in [
        "error: \".nonsense\" is not understood",
        "error: \"parquet\" is no format of a shell",
        "error: there is no table \"nothing\"",
    ] {
        let error = errors.next().unwrap();
        assert!(error.starts_with(told), "{error}");
    }
}

#[test]
fn comments_are_no_statements() {
    let output = shell(
        &Bench::new(),
        &["shell", "run"],
        "-- first\n.format csv\nSELECT 1 AS a;\n-- done\n",
    );
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout), "a\n1\n");
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn a_shell_holds_no_more_memory_than_it_may() {
    let arguments = ["shell", "run", "--memory", "1B"];
    let output = shell(&Bench::new(), &arguments, "SELECT * FROM by_neuron;\n");
    assert_eq!(output.status.code(), Some(1));
    let stderr = text(&output.stderr);
    assert!(
        stderr.contains("needs more memory than it may use"),
        "{stderr}"
    );
}

#[test]
fn a_shell_over_a_damaged_run_says_once_what_is_wrong() {
    let bench = Bench::new();
    let json = fs::read_to_string(bench.path("run/run.json")).unwrap();
    fs::write(bench.path("run/run.json"), format!("{json}\n")).unwrap();
    let commits = entries(&bench.path("run/commits"));
    let mut bytes = fs::read(&commits[0]).unwrap();
    bytes[40] ^= 1;
    fs::write(&commits[0], bytes).unwrap();
    let sql = "SELECT count(*) FROM weights;\n";
    let output = shell(&bench, &["shell", "run", "--salvage"], &sql.repeat(3));
    assert!(output.status.success());
    let told = text(&output.stderr);
    let count = |word: &str| told.lines().filter(|line| line.starts_with(word)).count();
    assert_eq!(count("left out: "), 1, "{told}");
    assert_eq!(count("in doubt, and used: "), 1, "{told}");
    let doubtful = told.lines().find(|line| line.starts_with("in doubt"));
    assert!(doubtful.unwrap().contains("run.json was changed"), "{told}");
}

/// A run that was recorded anew while the shell was open is another one.
#[test]
fn a_shell_whose_run_is_another_one_says_so() {
    let bench = Bench::new();
    let mut shell = bench
        .command(&["shell", "run"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut keys = shell.stdin.take().unwrap();
    let mut answers = BufReader::new(shell.stdout.take().unwrap());
    let mut answer = String::new();
    keys.write_all(b".format csv\nSELECT 1 AS a;\n").unwrap();
    while !answer.ends_with("1\n") {
        assert_ne!(answers.read_line(&mut answer).unwrap(), 0, "{answer}");
    }
    fs::remove_dir_all(bench.path("run")).unwrap();
    fixtures::tiny::write(&bench.path("run")).unwrap();
    keys.write_all(b"SELECT count(*) AS n FROM weights;\n")
        .unwrap();
    drop(keys);
    let output = shell.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = text(&output.stderr);
    assert!(
        stderr.starts_with("error: another run is in run now, created at ")
            && stderr.contains("open it anew"),
        "{stderr}"
    );
}
