//! Data, checkpoints and runs from elsewhere, with names that nobody here would give: no name leads anywhere or
//! steers a terminal, and what is behind a link or a pipe stays as it is.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::{Value, json};
use stratigraph::{Scratch, run};

/// Longer than anything here takes on a slow, busy machine.
const LIMIT: Duration = Duration::from_secs(30);

/// Names that mean something to some file system, shell, engine or terminal.
const NAMES: [&str; 12] = [
    "../../up",
    "/absolute",
    "a=b",
    "epoch=7",
    "with \"quotes\" and 'others'",
    "two\nlines",
    "%2e%2e%2f",
    "\u{1b}[31mred",
    "слой",
    "层",
    "طبقة\u{202e}",
    "ชั้น 🧠",
];

/// A value of a CSV file.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// What lies in a directory, by name.
fn listed(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

#[test]
fn columns_and_classes_may_be_called_anything() {
    let scratch = Scratch::new();
    let names: Vec<String> = NAMES.iter().copied().map(quoted).collect();
    let mut csv = format!("{},class\n", names.join(","));
    for row in 0..48 {
        let values: Vec<String> = (0..NAMES.len())
            .map(|i| ((row * i) % 7).to_string())
            .collect();
        csv += &format!("{},{}\n", values.join(","), names[row % names.len()]);
    }
    fs::write(scratch.path("data.csv"), csv).unwrap();
    scratch.train(&[
        "--dataset",
        "csv:data.csv",
        "--target",
        "class",
        "--epochs",
        "2",
        "--hidden",
        "4",
        "--out",
        "run",
    ]);
    assert_eq!(listed(&scratch.path("")), ["data.csv", "run"]);
    let info: Value =
        serde_json::from_slice(&fs::read(scratch.path("run/run.json")).unwrap()).unwrap();
    let mut classes: Vec<&str> = NAMES.to_vec();
    classes.sort_unstable();
    assert_eq!(info["class_names"], json!(classes));

    run(&mut scratch.sink(&["verify", "run"])).expect_success();
    for query in [
        &["info", "run"][..],
        &["run", "confusion", "run"],
        &["run", "class_selectivity", "run", "--param", "class=a=b"],
        &["plot", "confusion", "run", "-o", "confusion.svg"],
        &["report", "run", "-o", "report.html"],
    ] {
        let said = run(&mut scratch.query(query));
        assert!(!said.stdout.contains('\u{1b}'), "{query:?}: {said}");
        said.expect_success();
    }
    let pictures = ["confusion.svg", "report.html"].map(|name| {
        let text = fs::read_to_string(scratch.path(name)).unwrap();
        assert!(!text.contains("with \"quotes\" and 'others'<"), "{name}");
        text
    });
    assert!(pictures[0].contains("слой"));
}

#[test]
fn what_is_wrong_is_told_without_steering_the_terminal() {
    let scratch = Scratch::new();
    fs::write(
        scratch.path("data.csv"),
        "\u{1b}[31mred,class\n\u{1b}]0;x\u{7},1\n2,0\n",
    )
    .unwrap();
    for target in ["class", "clas", "\u{1b}[2J"] {
        let said = run(&mut scratch.recorder(&[
            "train",
            "--dataset",
            "csv:data.csv",
            "--target",
            target,
            "--out",
            "run",
        ]));
        let said = said.expect_failure(1);
        assert!(!said.contains(['\u{1b}', '\u{7}']), "{said:?}");
    }
    let tensor = TensorView::new(Dtype::I64, vec![1], &[1, 0, 0, 0, 0, 0, 0, 64]).unwrap();
    let path = scratch.path("model-1.safetensors");
    safetensors::serialize_to_file([("\u{1b}[31mred", tensor)], None, &path).unwrap();
    let import = ["import", "model-1.safetensors", "--out", "run"];
    let said = run(&mut scratch.recorder(&import));
    assert!(
        !said.stdout.contains('\u{1b}') && !said.stderr.contains('\u{1b}'),
        "{said}"
    );
}

#[test]
fn tensors_may_be_called_anything() {
    let scratch = Scratch::new();
    let bytes: Vec<u8> = (0..NAMES.len() as u8)
        .flat_map(|i| f32::from(i).to_le_bytes())
        .collect();
    let tensors = NAMES.iter().enumerate().map(|(index, name)| {
        let bytes = &bytes[4 * index..4 * index + 4];
        let tensor = TensorView::new(Dtype::F32, vec![1, 1], bytes).unwrap();
        (format!("{name}.weight"), tensor)
    });
    let path = scratch.path("model-1.safetensors");
    safetensors::serialize_to_file(tensors, None, &path).unwrap();
    let import = ["import", "model-1.safetensors", "--out", "run"];
    run(&mut scratch.recorder(&import)).expect_success();
    assert_eq!(listed(&scratch.path("")), ["model-1.safetensors", "run"]);
    // A directory a layer, and nothing deeper.
    for layer in listed(&scratch.path("run/weights/epoch=1")) {
        assert!(layer.starts_with("layer="), "{layer}");
        let files = listed(&scratch.path("run/weights/epoch=1").join(layer));
        assert!(
            files.iter().all(|file| file.ends_with(".parquet")),
            "{files:?}"
        );
    }
    run(&mut scratch.sink(&["verify", "run"])).expect_success();
    let rows = scratch.rows("run", "SELECT count(DISTINCT layer) AS layers FROM weights");
    assert_eq!(rows, [json!({"layers": NAMES.len()})]);
    let export = ["export", "run", "--epoch", "1", "-o", "again.safetensors"];
    run(&mut scratch.recorder(&export)).expect_success();
    let again = fs::read(scratch.path("again.safetensors")).unwrap();
    let again = SafeTensors::deserialize(&again).unwrap();
    for (index, name) in NAMES.iter().enumerate() {
        let tensor = again.tensor(&format!("{name}.weight")).unwrap();
        assert_eq!(tensor.data(), &bytes[4 * index..4 * index + 4], "{name:?}");
    }
}

#[test]
fn a_header_that_promises_or_nests_what_it_likes_is_refused() {
    let scratch = Scratch::new();
    let file = |length: u64, header: &str| [&length.to_le_bytes(), header.as_bytes()].concat();
    let deep = format!("{{\"w\":{}1{}}}", "[".repeat(1 << 20), "]".repeat(1 << 20));
    let wrapped = r#"{"w":{"dtype":"F32","shape":[1],"data_offsets":[18446744073709551612,18446744073709551615]}}"#;
    let many = r#"{"w":{"dtype":"F32","shape":[4294967295,4294967295,0],"data_offsets":[0,0]}}"#;
    for (bytes, because) in [
        (
            file(u64::MAX, "{}"),
            "its header would have 18446744073709551615 bytes",
        ),
        (file(99_999_999, "{}"), "is cut off"),
        (file(deep.len() as u64, &deep), "its header cannot be read"),
        (
            file(wrapped.len() as u64, wrapped),
            "begins at byte 18446744073709551612",
        ),
        (file(many.len() as u64, many), "tensor w has 0 values"),
    ] {
        fs::write(scratch.path("model-1.safetensors"), bytes).unwrap();
        let start = Instant::now();
        let import = ["import", "model-1.safetensors", "--out", "run"];
        let said = run(&mut scratch.recorder(&import)).expect_failure(1);
        assert!(start.elapsed() < LIMIT, "{because}");
        assert!(
            said.contains(because) && said.len() < 4096,
            "{because}: {said}"
        );
        assert!(!scratch.path("run").exists());
    }
}

/// Programs that read a run, and one that goes on with it.
fn asked(scratch: &Scratch) -> Vec<std::process::Command> {
    vec![
        scratch.sink(&["verify", "run"]),
        scratch.sink(&["stats", "run"]),
        scratch.sink(&["repair", "run", "--dry-run"]),
        scratch.query(&["info", "run"]),
        scratch.query(&["sql", "run", "SELECT count(weights) FROM weights"]),
        scratch.recorder(&["export", "run", "--epoch", "0", "-o", "m.safetensors"]),
    ]
}

#[cfg(target_os = "linux")]
#[test]
fn pipes_and_devices_in_a_run_are_no_files_of_it() {
    let scratch = Scratch::new();
    scratch.train(&["--epochs", "1", "--hidden", "4", "--out", "run"]);
    let of_layer = scratch.path("run/weights/epoch=0/layer=L_input");
    let part = of_layer.join(&listed(&of_layer)[0]);
    let record = scratch.path("run/commits/00000000000000000000.json");
    for path in [scratch.path("run/run.json"), record, part] {
        let bytes = fs::read(&path).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        for is_pipe in [true, false] {
            fs::remove_file(&path).unwrap();
            if is_pipe {
                let made = std::process::Command::new("mkfifo").arg(&path).status();
                assert!(made.unwrap().success());
            } else {
                std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
            }
            for mut program in asked(&scratch) {
                let start = Instant::now();
                let said = run(&mut program);
                assert!(start.elapsed() < LIMIT, "{program:?} of {}", path.display());
                let all = said.stdout.clone() + &said.stderr;
                assert!(
                    all.contains(name) || said.code() == Some(0),
                    "{program:?}: {said}"
                );
                assert!(!all.contains("panicked"), "{said}");
            }
            let verified = run(&mut scratch.sink(&["verify", "run"]));
            assert_eq!(verified.code(), Some(1), "{verified}");
            let told = if name == "run.json" {
                format!("error: cannot read run/{name}: it is no regular file")
            } else if name.ends_with(".json") {
                format!("commits/{name}: history: expected ")
            } else {
                format!("{name}: presence: expected a file, found something else")
            };
            assert!(format!("{verified}").contains(&told), "{verified}");
            if name.ends_with(".json") {
                assert_refused_by_resuming(&scratch, name);
            }
            assert_mended(&scratch, &path, name);
            assert!(!fs::metadata(&path).unwrap().is_file());
        }
        fs::remove_file(&path).unwrap();
        fs::write(&path, bytes).unwrap();
    }
    run(&mut scratch.sink(&["verify", "run"])).expect_success();
}

/// Nobody goes on with a run of which `name` cannot be read, and then everything is as it was.
#[cfg(target_os = "linux")]
fn assert_refused_by_resuming(scratch: &Scratch, name: &str) {
    let before = listed_below(&scratch.path("run"));
    let resume = [
        "train", "--device", "cpu", "--resume", "--epochs", "2", "--hidden", "4", "--out", "run",
    ];
    let said = run(&mut scratch.recorder(&resume)).expect_failure(1);
    assert!(said.contains(name) && !said.contains("panicked"), "{said}");
    assert_eq!(listed_below(&scratch.path("run")), before);
}

/// A repair of a copy moves what is no file aside: what the commits keep a copy of is there again, and the capture
/// of a part is taken out.
#[cfg(target_os = "linux")]
fn assert_mended(scratch: &Scratch, path: &Path, name: &str) {
    let copy = scratch.path("copy");
    let copied = std::process::Command::new("cp")
        .arg("-a")
        .args([&scratch.path("run"), &copy])
        .status();
    assert!(copied.unwrap().success());
    let start = Instant::now();
    let stdout = run(&mut scratch.sink(&["repair", "copy"])).expect_success();
    assert!(start.elapsed() < LIMIT, "{name}");
    assert!(stdout.contains("\nmoved to damaged/1"), "{stdout}");
    let below = path.strip_prefix(scratch.path("run")).unwrap();
    let moved = fs::symlink_metadata(copy.join("damaged/1").join(below)).unwrap();
    assert!(!moved.is_file(), "{name}");
    let is_part = !name.ends_with(".json");
    assert_eq!(copy.join(below).is_file(), !is_part, "{stdout}");
    assert_eq!(copy.join(below).exists(), !is_part, "{stdout}");
    let verified = run(&mut scratch.sink(&["verify", "copy"])).expect_success();
    let num_captures = if is_part { 0 } else { 1 };
    let whole = format!("copy: whole; {num_captures} captures in ");
    assert!(verified.contains(&whole), "{stdout}{verified}");
    fs::remove_dir_all(&copy).unwrap();
}

/// The paths of everything below a directory, in order.
#[cfg(target_os = "linux")]
fn listed_below(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut paths = Vec::new();
    for name in listed(dir) {
        let path = dir.join(name);
        if fs::symlink_metadata(&path).unwrap().is_dir() {
            paths.extend(listed_below(&path));
        }
        paths.push(path);
    }
    paths
}

/// Whoever goes on with a run clears away what dead recorders left: in the run, and nowhere else.
#[cfg(unix)]
#[test]
fn going_on_with_a_run_removes_nothing_that_its_links_lead_to() {
    use std::os::unix::fs::symlink;
    let scratch = Scratch::new();
    let train = [
        "--epochs",
        "1",
        "--hidden",
        "4",
        "--checkpoint-every",
        "1epochs",
        "--out",
    ];
    for name in ["run", "other"] {
        scratch.train(&[&train[..], &[name]].concat());
    }
    let letters = scratch.path("outside/letters");
    fs::create_dir_all(&letters).unwrap();
    fs::write(letters.join("letter"), "dear").unwrap();
    let before = (
        super::files(&scratch.path("outside")),
        super::files(&scratch.path("other")),
    );
    symlink(scratch.path("outside"), scratch.path("run/.staging")).unwrap();
    symlink(scratch.path("other/weights"), scratch.path("run/moments")).unwrap();
    symlink(
        scratch.path("other/weights/epoch=0"),
        scratch.path("run/weights/epoch=5"),
    )
    .unwrap();
    let resume = [
        "train", "--device", "cpu", "--resume", "--epochs", "2", "--hidden", "4",
    ];
    let resume = [
        &resume[..],
        &["--checkpoint-every", "1epochs", "--out", "run"],
    ]
    .concat();
    let said = run(&mut scratch.recorder(&resume));
    let told = said.stderr.matches("left as it is: it is a link").count();
    assert_eq!(told, 2, "{said}");
    said.expect_success();
    let stdout = run(&mut scratch.sink(&["repair", "run"])).expect_success();
    assert_eq!(stdout, "run: nothing to repair\n");
    let verified = run(&mut scratch.sink(&["verify", "run"])).expect_success();
    assert!(
        verified.contains("run: whole; 2 captures in "),
        "{verified}"
    );
    for link in [".staging", "moments", "weights/epoch=5"] {
        assert!(scratch.path("run").join(link).is_symlink(), "{link}");
        assert!(verified.contains(&format!("\n  {link} (")), "{verified}");
    }
    let after = (
        super::files(&scratch.path("outside")),
        super::files(&scratch.path("other")),
    );
    assert_eq!(
        after.0.keys().collect::<Vec<_>>(),
        before.0.keys().collect::<Vec<_>>()
    );
    assert!(after == before, "what is outside of the run is as it was");
}
