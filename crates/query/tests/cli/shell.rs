//! `query shell`, as a script uses it.

use std::io::Write;
use std::process::{Output, Stdio};

use super::{Bench, text};

fn shell(bench: &Bench, arguments: &[&str], input: &str) -> Output {
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
        ".format",
        ".quit",
    ] {
        assert!(help.contains(&format!("\n{command} ")), "{help}");
    }
    let tables = told(".tables\n");
    let names: Vec<&str> = tables.lines().take(13).collect();
    assert_eq!(
        names,
        [
            "weights",
            "activations",
            "classifications",
            "metrics",
            "histograms",
            "gradients",
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
