//! The program, as a user calls it.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on ends, in its helpers as well"
)]

mod describe;
mod doors;
mod limits;
mod shell;
mod terminal;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tempfile::TempDir;

struct Bench {
    dir: TempDir,
    /// What the program takes for the system's directory for temporary files.
    temporary: TempDir,
}

impl Drop for Bench {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let left = entries(self.temporary.path());
            assert!(left.is_empty(), "temporary files are left: {left:?}");
        }
    }
}

impl Bench {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        fixtures::tiny::write(&dir.path().join("run")).unwrap();
        let temporary = TempDir::new().unwrap();
        Self { dir, temporary }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_query"));
        command
            .args(arguments)
            .current_dir(self.dir.path())
            .env("XDG_STATE_HOME", self.dir.path())
            .env("TMPDIR", self.temporary.path())
            .env_remove("RUST_LOG");
        command
    }

    fn query(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn stdout(&self, arguments: &[&str]) -> String {
        let output = self.query(arguments);
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            text(&output.stderr)
        );
        text(&output.stdout)
    }

    /// The exit status and stderr of what fails.
    fn failure(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let output = self.query(arguments);
        assert!(output.stdout.is_empty(), "{}", text(&output.stdout));
        (output.status.code(), text(&output.stderr))
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_owned()).unwrap()
}

#[test]
fn a_table_has_every_row_when_it_is_piped() {
    let table = Bench::new().stdout(&["run", "by_neuron", "run"]);
    assert_eq!(
        table,
        "\
+--------+----------+------------------+
| neuron | layer    | weights          |
+--------+----------+------------------+
|      0 | L_hidden | [4.0, 8.0, 12.0] |
|      1 | L_hidden | [-4.0, 0.5, 4.0] |
|      2 | L_output | [4.25, 1.0, 0.0] |
|      3 | L_output | [0.0, -4.0, 0.0] |
+--------+----------+------------------+
"
    );
}

#[test]
fn csv_writes_a_list_as_json_text() {
    let bench = Bench::new();
    let arguments = [
        "run", "padded", "run", "--param", "epoch=2", "--format", "csv",
    ];
    assert_eq!(
        bench.stdout(&arguments),
        "\
epoch,layer,neuron,weights,final_classification_result
2,L_hidden,0,\"[6.0, 12.0, 18.0]\",
2,L_hidden,1,\"[-6.0, 0.5, 6.0]\",
2,L_output,2,\"[6.25, 1.0, 0.0]\",
2,L_output,3,\"[0.0, -6.0, 0.0]\",
"
    );
}

#[test]
fn csv_without_rows_has_its_names() {
    let csv = Bench::new().stdout(&["run", "confusion", "run", "--param=epoch=2", "--format=csv"]);
    assert_eq!(csv, "epoch,target,predicted,count\n");
}

#[test]
fn json_is_one_array_and_jsonl_an_object_a_line_with_null_for_what_is_not_finite() {
    let bench = Bench::new();
    let sql = "SELECT epoch, outputs, CAST('NaN' AS REAL) AS bad, CAST(NULL AS INT) AS none \
               FROM classifications WHERE step = 4 ORDER BY sample LIMIT 2";
    let note = "note: 2 values that are NaN or infinite are written as null, since JSON has no such \
                numbers; csv, parquet and arrow keep them\n";
    for (format, expected) in [
        (
            "json",
            "\
[{\"epoch\":1,\"outputs\":[0.5,0.5],\"bad\":null,\"none\":null},
{\"epoch\":1,\"outputs\":[0.25,0.75],\"bad\":null,\"none\":null}]
",
        ),
        (
            "jsonl",
            "\
{\"epoch\":1,\"outputs\":[0.5,0.5],\"bad\":null,\"none\":null}
{\"epoch\":1,\"outputs\":[0.25,0.75],\"bad\":null,\"none\":null}
",
        ),
    ] {
        let answer = bench.query(&["sql", "run", sql, "--format", format]);
        assert_eq!(String::from_utf8(answer.stdout).unwrap(), expected);
        assert_eq!(String::from_utf8(answer.stderr).unwrap(), note);
        assert!(answer.status.success(), "{format}");
    }
}

#[test]
fn json_without_rows_is_an_empty_array() {
    let bench = Bench::new();
    let sql = "SELECT epoch FROM classifications WHERE step = 77";
    for (format, expected) in [("json", "[]\n"), ("jsonl", "")] {
        let answer = bench.stdout(&["sql", "run", sql, "--format", format]);
        assert_eq!(answer, expected, "{format}");
    }
}

#[test]
fn wide_gives_a_list_a_column_an_element() {
    let bench = Bench::new();
    let arguments = ["run", "by_neuron", "run", "--wide", "--format", "csv"];
    assert_eq!(
        bench.stdout(&arguments),
        "\
neuron,layer,w_0,w_1,w_2
0,L_hidden,4.0,8.0,12.0
1,L_hidden,-4.0,0.5,4.0
2,L_output,4.25,1.0,0.0
3,L_output,0.0,-4.0,0.0
"
    );
}

#[test]
fn a_file_gets_the_format_of_its_suffix() {
    let bench = Bench::new();
    for name in [
        "rows.csv",
        "rows.json",
        "rows.jsonl",
        "rows.parquet",
        "rows.arrow",
        "rows.txt",
    ] {
        assert_eq!(bench.stdout(&["run", "padded", "run", "-o", name]), "");
    }
    let csv = fs::read_to_string(bench.path("rows.csv")).unwrap();
    assert_eq!(csv.lines().count(), 13);
    let lines = fs::read_to_string(bench.path("rows.jsonl")).unwrap();
    assert_eq!(lines.lines().count(), 12);
    let lines = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    let lines: Vec<serde_json::Value> = lines.collect();
    let json = fs::read_to_string(bench.path("rows.json")).unwrap();
    let array: Vec<serde_json::Value> = serde_json::from_str(&json).unwrap();
    assert_eq!(array, lines);
    let table = fs::read_to_string(bench.path("rows.txt")).unwrap();
    assert_eq!(table.lines().count(), 12 + 4);

    let file = fs::File::open(bench.path("rows.parquet")).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)
        .unwrap()
        .build()
        .unwrap();
    let parquet: Vec<_> = reader.map(Result::unwrap).collect();
    let file = fs::File::open(bench.path("rows.arrow")).unwrap();
    let reader = arrow::ipc::reader::StreamReader::try_new(file, None).unwrap();
    let arrow: Vec<_> = reader.map(Result::unwrap).collect();
    let schema = arrow[0].schema();
    let concat = |batches: &[_]| arrow::compute::concat_batches(&schema, batches).unwrap();
    assert_eq!(concat(&arrow).num_rows(), 12);
    assert_eq!(concat(&parquet), concat(&arrow));
    assert_eq!(*schema.field(3).data_type(), trace::float_list());
}

#[test]
fn a_file_is_replaced_only_by_force() {
    let bench = Bench::new();
    fs::write(bench.path("rows.csv"), "mine").unwrap();
    let (status, error) = bench.failure(&["run", "confusion", "run", "-o", "rows.csv"]);
    assert_eq!(status, Some(1));
    assert!(
        error.contains("rows.csv exists; --force replaces it"),
        "{error}"
    );
    assert_eq!(fs::read_to_string(bench.path("rows.csv")).unwrap(), "mine");

    bench.stdout(&["run", "confusion", "run", "-o", "rows.csv", "--force"]);
    let csv = fs::read_to_string(bench.path("rows.csv")).unwrap();
    assert!(csv.starts_with("epoch,target"), "{csv}");
}

#[test]
fn nothing_is_left_of_a_file_whose_query_fails() {
    let bench = Bench::new();
    let before = entries(bench.dir.path());
    let sql = "SELECT pad(weights, 2) FROM weights";
    let (status, error) = bench.failure(&["sql", "run", sql, "-o", "rows.csv"]);
    assert_eq!(status, Some(1));
    assert!(
        error.contains("a list of 3 elements does not fit into width 2"),
        "{error}"
    );
    assert_eq!(entries(bench.dir.path()), before);
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<PathBuf> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    entries.sort_unstable();
    entries
}

#[test]
fn what_is_no_run_is_told_apart() {
    let bench = Bench::new();
    let ask = |run: &str| bench.failure(&["run", "padded", run]);

    let (status, error) = ask("nowhere");
    assert_eq!(
        (status, error.as_str()),
        (
            Some(1),
            "error: there is no run at nowhere: no such directory\n"
        )
    );

    fs::create_dir(bench.path("other")).unwrap();
    let (status, error) = ask("other");
    assert_eq!(
        (status, error.as_str()),
        (Some(1), "error: other is no run: it has no run.json\n")
    );

    fixtures::tiny::write_empty(&bench.path("empty")).unwrap();
    let (status, error) = ask("empty");
    assert_eq!(
        (status, error.as_str()),
        (Some(1), "error: the run has no committed capture yet\n")
    );
    let (status, _) = bench.failure(&["sql", "empty", "SELECT count(*) FROM connections()"]);
    assert_eq!(status, Some(1));
    // What run.json says is there all the same.
    let layers = bench.stdout(&["sql", "empty", "SELECT layer FROM layers", "--format=csv"]);
    assert_eq!(layers, "layer\nL_hidden\nL_output\n");

    let json = fs::read_to_string(bench.path("run/run.json")).unwrap();
    let newer = json.replace("\"major\": 1", "\"major\": 2");
    assert_ne!(newer, json);
    fs::write(bench.path("run/run.json"), newer).unwrap();
    let (status, error) = ask("run");
    assert_eq!(status, Some(1));
    let format = format!("2.{}", trace::FORMAT_VERSION.minor);
    assert!(
        error.contains(&format!(
            "run has trace format {format}, this version reads up to 1.x"
        )),
        "{error}"
    );
}

/// The rows of weights that a commit names.
fn weights_of(commit: &Path) -> u64 {
    let record = trace::CommitRecord::decode(&fs::read(commit).unwrap()).unwrap();
    let files = record.files.iter();
    files
        .filter(|file| &*file.table == "weights")
        .map(|file| file.rows)
        .sum()
}

#[test]
fn a_damaged_run_is_named_and_what_is_whole_of_it_is_answered_when_asked_for() {
    let bench = Bench::new();
    let commits = entries(&bench.path("run/commits"));
    let name = commits[0].file_name().unwrap().to_str().unwrap();
    let lost = weights_of(&commits[0]);
    assert!(0 < lost && lost < 20, "{lost}");
    let mut bytes = fs::read(&commits[0]).unwrap();
    bytes[40] ^= 1;
    fs::write(&commits[0], bytes).unwrap();
    let sql = "SELECT count(neuron) AS n FROM weights";
    let (status, error) = bench.failure(&["sql", "run", sql]);
    assert_eq!(status, Some(1));
    assert!(
        error.contains(name) && error.contains("--salvage"),
        "{error}"
    );
    let output = bench.query(&["sql", "run", sql, "--salvage", "--format=csv"]);
    assert_eq!(text(&output.stdout), format!("n\n{}\n", 20 - lost));
    let told = text(&output.stderr);
    assert!(told.contains("left out: ") && told.contains(name), "{told}");
    // The same of a file.
    let record = trace::CommitRecord::decode(&fs::read(&commits[1]).unwrap()).unwrap();
    let file = record
        .files
        .iter()
        .find(|file| &*file.table == "weights")
        .unwrap();
    let path = bench.path("run").join(file.path.as_str());
    let mut bytes = fs::read(&path).unwrap();
    bytes[20] ^= 1;
    fs::write(&path, bytes).unwrap();
    let output = bench.query(&["sql", "run", sql, "--salvage", "--format=csv"]);
    assert_eq!(
        text(&output.stdout),
        format!("n\n{}\n", 20 - lost - file.rows)
    );
    assert!(
        text(&output.stderr).contains(file.path.as_str()),
        "{}",
        text(&output.stderr)
    );
}

/// Of a disk that went bad nobody wants a line a file.
#[test]
fn of_many_files_that_are_left_out_the_first_are_listed_and_the_others_counted() {
    let bench = Bench::new();
    let run = trace::RunDir::open(&bench.path("run")).unwrap();
    let catalog = trace::Catalog::load(&run).unwrap();
    let before_last = catalog.files().filter(|file| file.epoch != 2);
    let mut paths: Vec<String> = before_last.map(|file| file.path.to_owned()).collect();
    for path in &paths {
        fs::remove_file(bench.path("run").join(path)).unwrap();
    }
    paths.sort_unstable();
    let sql = "SELECT count(neuron) AS n FROM weights";
    let output = bench.query(&["sql", "run", sql, "--salvage", "--format=csv"]);
    // Those of the last epoch.
    assert_eq!(text(&output.stdout), "n\n4\n");
    let told = text(&output.stderr);
    let is_listed = |line: &&str| line.starts_with("left out: ");
    let listed: Vec<&str> = told.lines().filter(is_listed).collect();
    assert_eq!(listed.len(), 10, "{told}");
    for (line, path) in listed.iter().zip(&paths) {
        assert!(line.contains(path.as_str()), "{line}: {path}");
    }
    let more = paths.len() - 10;
    let says =
        format!("... and {more} more left out: `sink verify run` lists all that is damaged\n");
    assert!(more > 1 && told.ends_with(&says), "{told}");
}

#[test]
fn of_many_files_that_are_no_part_files_some_are_named() {
    let bench = Bench::new();
    fs::remove_dir_all(bench.path("run/commits")).unwrap();
    for number in 0..15 {
        let name = format!("run/weights/notes-{number:02}.txt");
        fs::write(bench.path(&name), "x").unwrap();
    }
    let sql = "SELECT count(*) AS n FROM weights";
    let output = bench.query(&["sql", "run", sql, "--format=csv"]);
    assert_eq!(text(&output.stdout), "n\n20\n");
    let told = text(&output.stderr);
    // In a pipe there are no colours.
    assert!(
        told.contains("WARN") && !told.contains('\u{1b}'),
        "{told:?}"
    );
    let named = told.matches("its name is no part file's").count();
    assert_eq!(named, 10, "{told}");
    let are_first = told.contains("notes-09.txt") && !told.contains("notes-10.txt");
    assert!(are_first, "{told}");
    assert_eq!(told.matches("num_files=5").count(), 1, "{told}");
}

#[test]
fn a_copy_without_commits_says_so() {
    let bench = Bench::new();
    fs::remove_dir_all(bench.path("run/commits")).unwrap();
    let output = bench.query(&[
        "sql",
        "run",
        "SELECT count(*) AS n FROM weights",
        "--format=csv",
    ]);
    assert_eq!(text(&output.stdout), "n\n20\n");
    assert!(
        text(&output.stderr).contains("run has no commits/"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn sql_may_begin_with_a_comment() {
    let bench = Bench::new();
    let one = bench.stdout(&["sql", "run", "-- one\nSELECT 1 AS one", "--format", "csv"]);
    assert_eq!(one, "one\n1\n");
    let one = bench.stdout(&["sql", "run", "--format", "csv", "-- one\nSELECT 1 AS one"]);
    assert_eq!(one, "one\n1\n");
}

#[test]
fn queries_hold_no_more_memory_than_they_may() {
    let bench = Bench::new();
    let sql = "SELECT neuron, vec_mean(weights) FROM weights GROUP BY neuron";
    for arguments in [
        &["sql", "run", sql, "--memory", "1B"][..],
        &["run", "by_neuron", "run", "--memory", "1B"],
    ] {
        let (status, error) = bench.failure(arguments);
        assert_eq!(status, Some(1), "{arguments:?}");
        assert!(
            error.contains("needs more memory than it may use (`--memory` sets how much)"),
            "{arguments:?}: {error}"
        );
    }
    bench.stdout(&["run", "by_neuron", "run", "--memory", "64MiB"]);

    let sql = "SELECT pad(weights, 1000000) FROM weights LIMIT 1";
    let (status, error) = bench.failure(&["sql", "run", sql, "--memory", "1MiB"]);
    assert_eq!(status, Some(1));
    assert!(
        error.contains("pad: lists of width 1000000 take"),
        "{error}"
    );
}

#[test]
fn usage_errors_exit_2() {
    let bench = Bench::new();
    for arguments in [
        &["run", "padded"][..],
        &["run", "padded", "run", "--param", "epoch"],
        &["run", "padded", "run", "--format", "xml"],
        &["run", "padded", "run", "-o", "rows.xml"],
        &["run", "padded", "run", "--force"],
        &["run", "padded", "run", "--memory", "much"],
        &["plot", "run"],
    ] {
        assert_eq!(bench.failure(arguments).0, Some(2), "{arguments:?}");
    }
}

#[test]
fn list_and_describe_tell_the_named_queries() {
    let bench = Bench::new();
    let list = bench.stdout(&["list"]);
    let names: Vec<&str> = list
        .lines()
        .filter_map(|l| l.split_whitespace().next())
        .collect();
    assert_eq!(
        names,
        [
            "classification_series",
            "padded",
            "by_layer",
            "by_neuron",
            "epoch_average",
            "by_neuron_activations",
            "epoch_average_activations",
            "connections",
            "coactivation",
            "strongest_paths",
            "correct_vs_incorrect",
            "class_selectivity",
            "weight_drift",
            "layer_profile",
            "dead_neurons",
            "structure_scores",
            "structure_onset",
            "class_changes",
            "rank_stability",
            "linear_probe",
            "meta_model",
            "learning_curve",
            "confusion",
            "cartography",
            "ablation_effects",
            "overhead"
        ]
    );
    let described = bench.stdout(&["describe", "confusion"]);
    assert!(
        described.contains("\n  epoch = NULL     Int32{<epoch>,first,last,all}  this epoch alone"),
        "{described}"
    );
    assert!(described.contains("\n  predicted  Int32  the class that they were taken for\n"));
    assert!(described.contains("\n  FROM classifications\n"));
    let (status, error) = bench.failure(&["describe", "confuson"]);
    assert_eq!(status, Some(1));
    assert!(error.contains("did you mean confusion?"), "{error}");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let bench = Bench::new();
    let sql = "SELECT value FROM range(0, 3000000)";
    let mut query = bench
        .command(&["sql", "run", sql, "--format", "csv"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(query.stdout.take());
    let output = query.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(text(&output.stderr), "");
}

#[cfg(unix)]
#[test]
fn what_interrupts_leaves_no_file() {
    interrupted("-INT", 130);
    interrupted("-TERM", 143);
}

#[cfg(unix)]
fn interrupted(signal: &str, status: i32) {
    let bench = Bench::new();
    let before = entries(bench.dir.path());
    // Ten billion pairs, none of which is kept.
    let sql = "SELECT a.value FROM range(1, 100000) a, range(1, 100000) b \
               WHERE a.value * b.value = -1";
    let mut query = bench
        .command(&["sql", "run", sql, "-o", "rows.csv"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The file is begun once the query runs.
    while entries(bench.dir.path()) == before {
        assert!(
            query.try_wait().unwrap().is_none(),
            "the query ended by itself"
        );
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let interrupted = Command::new("kill")
        .args([signal, &query.id().to_string()])
        .status();
    assert!(interrupted.unwrap().success());
    assert_eq!(query.wait().unwrap().code(), Some(status));
    assert_eq!(entries(bench.dir.path()), before);
}

#[test]
fn info_says_what_was_lost() {
    let bench = Bench::new();
    assert!(!bench.stdout(&["info", "run"]).contains("lost"));
    let run = trace::RunDir::open(&bench.path("run")).unwrap();
    let mut writer = fixtures::Writer::of(run).unwrap();
    for (epoch, step, lost) in [(3, 8, 2.0), (4, 10, 0.0), (5, 12, 1.0)] {
        let rows = [
            (None, "recorder.lost_captures", lost),
            (None, "recorder.dropped_captures", 7.0),
        ];
        let rows = fixtures::metrics(step, &rows);
        writer.beside_captures(epoch, step, rows).unwrap();
    }
    let told = bench.stdout(&["info", "run"]);
    assert_eq!(
        told.lines().nth(1),
        Some("lost: 3 captures that were due are in no commit")
    );
}

/// Lets the run's records be of long ago, and something be staged as by its recorder.
fn make_silent(run: &Path) {
    for entry in fs::read_dir(run.join("commits")).unwrap() {
        let path = entry.unwrap().path();
        let mut record = trace::CommitRecord::decode(&fs::read(&path).unwrap()).unwrap();
        record.time = "2026-01-01T00:00:00.000Z".to_owned();
        record.previous_crc32c = None;
        fs::write(&path, record.encode()).unwrap();
    }
    fs::create_dir_all(run.join(".staging/0123456789abcdef")).unwrap();
}

/// A recorder that has committed nothing for long may be a slow one.
#[test]
fn a_live_report_waits_for_a_recorder_that_is_silent() {
    let bench = Bench::new();
    let run = bench.path("run");
    make_silent(&run);
    let told = bench.stdout(&["info", "run"]);
    let first = told.lines().next().unwrap();
    assert!(
        first.contains("; no commit for ")
            && first.ends_with(": its recorder was interrupted, or is slow"),
        "{first}"
    );
    let said = bench.path("said");
    let live = [
        "report",
        "run",
        "--live",
        "--every",
        "1",
        "--permutations",
        "99",
        "-o",
        "live.html",
    ];
    let mut report = bench
        .command(&live)
        .stderr(fs::File::create(&said).unwrap())
        .spawn()
        .unwrap();
    let begin = std::time::Instant::now();
    while !fs::read_to_string(&said)
        .unwrap()
        .contains("or is slow; Ctrl-C ends the report")
    {
        let ended = report.try_wait().unwrap();
        let is_late = begin.elapsed() > std::time::Duration::from_secs(120);
        if is_late || ended.is_some() {
            let _ = report.kill();
            let _ = report.wait();
            panic!("{ended:?}: {}", fs::read_to_string(&said).unwrap());
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    // It was slow, and has ended now.
    fs::remove_dir_all(run.join(".staging")).unwrap();
    assert!(report.wait().unwrap().success());
    let said = fs::read_to_string(&said).unwrap();
    assert!(
        said.trim_end().ends_with("nobody records the run any more"),
        "{said}"
    );
}

#[test]
fn numbers_beyond_all_reason_are_errors_with_their_range() {
    let bench = Bench::new();
    for (query, parameter) in [
        ("structure_scores", "permutations"),
        ("structure_scores", "bootstraps"),
        ("structure_scores", "size"),
        ("coactivation", "top"),
        ("strongest_paths", "top"),
        ("meta_model", "trees"),
    ] {
        let given = format!("{parameter}=2000000000");
        let (code, stderr) =
            bench.failure(&["run", query, "run", "--memory", "64MiB", "--param", &given]);
        assert_eq!(code, Some(1), "{query} {given}: {stderr}");
        for told in [parameter, "2000000000"] {
            assert!(stderr.contains(told), "{query} {given}: {stderr}");
        }
    }
}
