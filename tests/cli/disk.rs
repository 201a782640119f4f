//! A disk that has no room for what is recorded.

use stratigraph::{Finished, Scratch, announce, binaries, run};

use crate::{files, number_between};

/// Records until that fails, then asks what is left, all in one shell: `$1` is the run, `$2` to
/// `$4` are the programs. What they say is told apart by the lines in between.
const RECORD_AND_ASK: &str = r#"
record() { "$2" train --device cpu --dataset notebook --hidden 4 $OPTIONS --out "$1"; }
record "$@"; echo "recorder exited $?"
"$3" verify "$1"; echo "sink exited $?"
"$4" sql "$1" "SELECT count(DISTINCT epoch) AS n FROM weights" --format csv
echo "query exited $?"
"#;

/// Training that ends only when recording does.
const STOP: &str = "--epochs 1000000";

/// Runs the script after `setup` in the shell that `shell` starts.
fn record_after(
    scratch: &Scratch,
    shell: &[&str],
    setup: &str,
    run_dir: &str,
    options: &str,
) -> Finished {
    let script = format!("{setup}\n{RECORD_AND_ASK}");
    let programs = binaries();
    let mut command = scratch.command(shell[0].as_ref(), &shell[1..]);
    command.env("OPTIONS", options);
    command.args(["-c", &script, "sh", run_dir]);
    command.args([&programs.recorder, &programs.sink, &programs.query]);
    run(&mut command)
}

/// What was said is what is there; returns the number of captures.
fn assert_safe(finished: &Finished, cause: &str, run_dir: &str) -> u64 {
    let (stdout, stderr) = (&finished.stdout, &finished.stderr);
    assert!(stdout.contains("recorder exited 1\n"), "{finished}");
    assert!(stdout.contains("sink exited 0\n"), "{finished}");
    assert!(stderr.contains(cause), "{finished}");
    assert!(
        stderr.contains(&format!(
            "error: recording into {run_dir} failed, training was stopped"
        )),
        "{finished}"
    );
    // It is said once, by the error.
    assert!(!stderr.contains("WARN"), "{finished}");
    assert_eq!(stderr.matches(cause).count(), 1, "{finished}");
    let safe = match stderr.contains(&format!(
        "safe on disk: no capture was committed in {run_dir}"
    )) {
        true => 0,
        false => number_between(stderr, "safe on disk: ", " committed captures").unwrap(),
    };
    let verified = number_between(stdout, "whole; ", " captures in ");
    assert_eq!(verified, Some(safe), "{finished}");
    if safe > 0 {
        let last = safe - 1;
        let epochs = format!("epochs 0 to {last}, in {run_dir}");
        assert!(stderr.contains(&epochs), "{finished}");
        let counted = format!("n\n{safe}\nquery exited 0\n");
        assert!(stdout.contains(&counted), "{finished}");
    }
    safe
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_stops_the_training_and_keeps_what_was_committed() {
    let scratch = Scratch::new();
    // A file system of its own in a namespace of its own: gone with the shell.
    let unshare = ["unshare", "--map-root-user", "--mount"];
    let mount = "mkdir disk && mount -t tmpfs -o size=4m stratigraph disk";
    let mut probe = scratch.command(
        "sh".as_ref(),
        &[
            "-c",
            &format!(
                "{} sh -c 'mkdir probe && mount -t tmpfs -o size=4m stratigraph probe'",
                unshare.join(" ")
            ),
        ],
    );
    if run(&mut probe).code() != Some(0) {
        announce("skipped: no file system can be mounted here, so that no disk can be full");
        return;
    }
    let shell = [&unshare[..], &["sh"]].concat();
    let setup = format!("{mount} || exit 1");
    let finished = record_after(&scratch, &shell, &setup, "disk/run", STOP);
    let safe = assert_safe(&finished, "No space left on device", "disk/run");
    assert!(safe > 0, "{finished}");
}

#[cfg(unix)]
#[test]
fn a_write_that_fails_stops_the_training_and_keeps_what_was_committed() {
    let scratch = Scratch::new();
    // No file may pass 8 or 16 KiB, as the shell counts: a part file never does, and the commit
    // record of a second of captures does.
    let setup = "trap '' XFSZ; ulimit -f 16 || exit 1";
    let finished = record_after(&scratch, &["sh"], setup, "run", STOP);
    assert_safe(&finished, "File too large", "run");
}

#[test]
fn a_run_stays_within_what_it_may_take_of_the_disk() {
    const MAX_DISK: usize = 1 << 20;
    let scratch = Scratch::new();
    let arguments = [
        "train",
        "--device",
        "cpu",
        "--dataset",
        "notebook",
        "--hidden",
        "4",
        "--epochs",
        "600",
        "--max-disk",
        "1MiB",
        "--out",
        "run",
    ];
    let trained = run(&mut scratch.recorder(&arguments));
    assert_eq!(trained.code(), Some(0), "{trained}");
    let (stdout, stderr) = (&trained.stdout, &trained.stderr);
    assert!(stdout.starts_with("trained 600 epochs ("), "{trained}");
    let said = "warning: run has reached --max-disk";
    assert_eq!(stderr.matches(said).count(), 1, "{trained}");
    let kept = number_between(stdout, "\nkept ", " captures in run: ").unwrap();
    let left_out = number_between(stdout, " files\n", " captures were left out").unwrap();
    assert_eq!(kept + left_out, 600, "{trained}");
    let bytes: usize = files(&scratch.path("run")).values().map(Vec::len).sum();
    assert!(
        (MAX_DISK / 2..=MAX_DISK).contains(&bytes),
        "{bytes}: {trained}"
    );
    let verified = run(&mut scratch.sink(&["verify", "run"])).expect_success();
    assert!(
        verified.contains(&format!("whole; {kept} captures in ")),
        "{verified}"
    );
    let sql = "SELECT sum(value) AS n FROM metrics WHERE name = 'recorder.over_disk_captures'";
    let expected = serde_json::json!({"n": left_out as f64});
    assert_eq!(scratch.rows("run", sql), [expected]);
}

#[cfg(unix)]
#[test]
fn training_goes_on_where_a_write_fails_if_that_was_asked_for() {
    let scratch = Scratch::new();
    let setup = "trap '' XFSZ; ulimit -f 16 || exit 1";
    let options = "--epochs 20000 --on-error continue";
    let finished = record_after(&scratch, &["sh"], setup, "run", options);
    let (stdout, stderr) = (&finished.stdout, &finished.stderr);
    assert!(stdout.contains("recorder exited 0\n"), "{finished}");
    assert!(stdout.starts_with("trained 20000 epochs ("), "{finished}");
    let said = "warning: recording into run failed, training goes on without it: ";
    assert_eq!(stderr.matches(said).count(), 1, "{finished}");
    assert_eq!(stderr.matches("File too large").count(), 1, "{finished}");
    // What was kept is what is there, and the rest was lost.
    let kept = number_between(stdout, "\nkept ", " captures in run: ").unwrap();
    let verified = number_between(stdout, "whole; ", " captures in ");
    assert_eq!(verified, Some(kept), "{finished}");
    let lost = number_between(stdout, " files\n", " captures were lost").unwrap();
    assert_eq!(kept + lost, 20_000, "{finished}");
    // A small file can still be written.
    let sql = "SELECT sum(value) AS lost FROM metrics WHERE name = 'recorder.lost_captures'";
    let expected = serde_json::json!({"lost": lost as f64});
    assert_eq!(scratch.rows("run", sql), [expected]);
}
