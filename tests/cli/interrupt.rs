//! Ctrl-C during a training.

use std::time::Duration;

use stratigraph::{Scratch, binaries, run, spawn};

use crate::number_between;

/// More than anybody waits for.
const ENDLESS: &str = "1000000";

#[test]
fn one_publishes_and_says_what_was_kept() {
    let scratch = Scratch::new();
    let mut recorder = spawn(&mut scratch.recorder(&[
        "train", "--device", "cpu", "--hidden", "8", "--epochs", ENDLESS,
    ]));
    scratch.wait_for_commit("traces/digits", &mut recorder);
    recorder.interrupt();
    let finished = recorder.wait();
    assert_eq!(finished.code(), Some(130), "{finished}");
    assert!(
        finished
            .stderr
            .contains("stopping: publishing what was captured"),
        "{finished}"
    );
    let kept = number_between(&finished.stdout, "interrupted after ", " epochs").unwrap();
    assert!(kept > 0);
    let said = number_between(&finished.stdout, "\nkept ", " captures in traces/digits: ");
    assert_eq!(said, Some(kept), "{finished}");

    let verified = run(&mut scratch.sink(&["verify", "traces/digits"])).expect_success();
    assert!(
        verified.starts_with(&format!("traces/digits: whole; {kept} captures in ")),
        "{verified}"
    );
    assert!(!scratch.path("traces/digits/.staging").exists());
    let epochs = scratch.rows(
        "traces/digits",
        "SELECT min(epoch) AS first, max(epoch) AS last, count(DISTINCT epoch) AS n FROM weights",
    );
    let expected = serde_json::json!({"first": 0, "last": kept - 1, "n": kept});
    assert_eq!(epochs, [expected]);
}

/// No time to save the state had come, in the middle of an epoch or not: it goes on with the next one.
#[test]
fn what_was_interrupted_is_resumed_after_its_last_whole_epoch() {
    let scratch = Scratch::new();
    let train = |more: &[&str]| {
        let arguments = ["train", "--device", "cpu", "--hidden", "8", "--out", "run"];
        let endless = ["--epochs", ENDLESS];
        scratch.recorder(&[&arguments[..], &endless, more].concat())
    };
    let mut recorder = spawn(&mut train(&[]));
    scratch.wait_for_commit("run", &mut recorder);
    recorder.interrupt();
    let finished = recorder.wait();
    assert_eq!(finished.code(), Some(130), "{finished}");
    let kept = number_between(&finished.stdout, "interrupted after ", " epochs").unwrap();
    assert!(
        finished.stdout.contains(&format!(
            "--resume, with the same options, goes on with epoch {}\n",
            kept + 1
        )),
        "{finished}"
    );

    let recorder = spawn(&mut train(&["--resume"]));
    recorder.wait_for_stderr(&format!("going on with epoch {} of {ENDLESS}\n", kept + 1));
    recorder.wait_for_stderr("recording into run");
    recorder.interrupt();
    let finished = recorder.wait();
    assert_eq!(finished.code(), Some(130), "{finished}");
    let rows = scratch.rows(
        "run",
        "SELECT count(neuron) AS rows, count(DISTINCT epoch) AS epochs, max(epoch) AS last FROM weights",
    );
    let [rows] = &rows[..] else {
        panic!("{rows:?}")
    };
    let of = |name: &str| rows[name].as_u64().unwrap();
    // 8 and 10 neurons an epoch, none of them twice, without a gap.
    assert_eq!(of("rows"), 18 * of("epochs"));
    assert_eq!(of("epochs"), of("last") + 1);
    assert!(of("epochs") >= kept);
    run(&mut scratch.sink(&["verify", "run"])).expect_success();
}

#[test]
fn a_second_one_stops_at_once() {
    let scratch = Scratch::new();
    // A capture takes longer to write than to compute, so that there is something to wait for.
    let mut recorder = spawn(&mut scratch.recorder(&[
        "train",
        "--device",
        "cpu",
        "--dataset",
        "notebook",
        "--hidden",
        "1000,1000",
        "--epochs",
        ENDLESS,
        "--out",
        "run",
    ]));
    scratch.wait_for_commit("run", &mut recorder);
    recorder.interrupt();
    recorder.wait_for_stderr("stopping: ");
    recorder.interrupt();
    let finished = recorder.wait();
    assert_eq!(finished.code(), Some(130), "{finished}");
    assert_eq!(
        finished.stdout, "",
        "it said what was kept, so it did not stop at once"
    );

    let verified = run(&mut scratch.sink(&["verify", "run"])).expect_success();
    assert!(verified.contains("run: whole; "), "{verified}");
}

/// The longest that a session may take to end whose commits nobody reads: it waits for 5 s, and publishes what was
/// captured.
const UNREAD_LIMIT: Duration = Duration::from_secs(60);

/// A pipe that is full, at a path. Nobody reads it as long as this lives.
#[cfg(target_os = "linux")]
fn full_pipe(scratch: &Scratch, name: &str) -> std::fs::File {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let path = scratch.path(name);
    let made = run(std::process::Command::new("mkfifo").arg(&path));
    assert_eq!(made.code(), Some(0), "{made}");
    let mut pipe = std::fs::File::options()
        .read(true)
        .write(true)
        .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
        .open(&path)
        .unwrap();
    for chunk in [4096, 1] {
        while pipe.write(&vec![b'\n'; chunk]).is_ok() {}
    }
    pipe
}

/// What is told of commits is not read: recording waits for that, and does not once it is to stop.
#[cfg(target_os = "linux")]
#[test]
fn who_does_not_read_what_is_committed_keeps_nobody_from_stopping() {
    for to in ["told", "-"] {
        let scratch = Scratch::new();
        let pipe = full_pipe(&scratch, "told");
        // By `-` it is told on stdout, which is the pipe.
        let script =
            r#"exec "$0" train --device cpu --hidden 8 --epochs "$1" --out run --commits "$2" $3"#;
        let script = match to {
            "-" => script.replace("$3", "> told"),
            _ => script.replace("$3", ""),
        };
        let mut shell = scratch.command("sh".as_ref(), &["-c", &script]);
        shell.arg(&binaries().recorder).args([ENDLESS, to]);
        let mut recorder = spawn(&mut shell);
        scratch.wait_for_commit("run", &mut recorder);
        recorder.interrupt();
        let finished = recorder.wait_within(UNREAD_LIMIT);
        assert_eq!(finished.code(), Some(130), "{to}: {finished}");
        let told = "commits are no longer told, recording goes on";
        assert_eq!(finished.stderr.matches(told).count(), 1, "{to}: {finished}");
        assert!(finished.stderr.contains("nobody has read"), "{finished}");
        let verified = run(&mut scratch.sink(&["verify", "run"])).expect_success();
        assert!(verified.starts_with("run: whole; "), "{verified}");
        assert!(!verified.contains("not finished"), "{verified}");
        match to {
            // There the summary would be waited for as well.
            "-" => assert_eq!(finished.stdout, ""),
            _ => {
                let kept = number_between(&finished.stdout, "\nkept ", " captures in run: ");
                let there = number_between(&verified, "whole; ", " captures in ");
                assert_eq!(kept, there, "{finished}");
                assert!(kept > Some(0), "{finished}");
            }
        }
        drop(pipe);
    }
}

/// Who does not want to wait says so.
#[cfg(target_os = "linux")]
#[test]
fn a_second_one_stops_at_once_where_nobody_reads_what_is_committed() {
    let scratch = Scratch::new();
    let pipe = full_pipe(&scratch, "told");
    let mut recorder = spawn(&mut scratch.recorder(&[
        "train",
        "--device",
        "cpu",
        "--hidden",
        "8",
        "--epochs",
        ENDLESS,
        "--out",
        "run",
        "--commits",
        "told",
    ]));
    scratch.wait_for_commit("run", &mut recorder);
    recorder.interrupt();
    recorder.wait_for_stderr("stopping: ");
    let start = std::time::Instant::now();
    recorder.interrupt();
    let finished = recorder.wait();
    assert!(start.elapsed() < Duration::from_secs(4), "{finished}");
    assert_eq!(finished.code(), Some(130), "{finished}");
    assert_eq!(finished.stdout, "", "it did not stop at once");
    run(&mut scratch.sink(&["verify", "run"])).expect_success();
    drop(pipe);
}
