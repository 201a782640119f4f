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

/// A shell in which `disk` is a small file system of its own, in a namespace of its own: gone with the shell.
#[cfg(target_os = "linux")]
const IN_NAMESPACE: [&str; 4] = ["unshare", "--map-root-user", "--mount", "sh"];

/// Mounts it, with these options.
#[cfg(target_os = "linux")]
fn mount(options: &str) -> String {
    format!("mkdir disk && mount -t tmpfs -o {options} stratigraph disk || exit 1")
}

/// Whether file systems can be mounted here; says so if not.
#[cfg(target_os = "linux")]
fn can_mount() -> bool {
    let scratch = Scratch::new();
    let script = mount("size=4m");
    let [program, arguments @ ..] = IN_NAMESPACE;
    let mut probe = scratch.command(program.as_ref(), &arguments);
    let can_mount = run(probe.args(["-c", &script])).code() == Some(0);
    if !can_mount {
        announce("skipped: no file system can be mounted here, so that no disk can be full");
    }
    can_mount
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_stops_the_training_and_keeps_what_was_committed() {
    if !can_mount() {
        return;
    }
    // Space runs out in the first, inodes in the second.
    for options in ["size=4m", "size=64m,nr_inodes=400"] {
        let scratch = Scratch::new();
        let setup = mount(options);
        let finished = record_after(&scratch, &IN_NAMESPACE, &setup, "disk/run", STOP);
        let safe = assert_safe(&finished, "No space left on device", "disk/run");
        assert!(safe > 0, "{finished}");
        let stderr = &finished.stderr;
        assert!(
            stderr.contains(" inodes are free on its file system"),
            "{finished}"
        );
    }
}

/// Fills `disk` but for `$1` KiB; what it is filled with is `disk/ballast`.
#[cfg(target_os = "linux")]
const FILL: &str = r#"
fill() {
    dd if=/dev/zero of=disk/ballast bs=64k status=none 2>/dev/null
    truncate -s "-$1K" disk/ballast
}
"#;

#[cfg(target_os = "linux")]
#[test]
fn wherever_room_runs_out_what_was_committed_is_whole_and_nothing_staged_is_left() {
    if !can_mount() {
        return;
    }
    let scratch = Scratch::new();
    let (programs, mount) = (binaries(), mount("size=1m"));
    // From no room for anything, a block more each time, until there is room for all.
    let script = format!(
        r#"{mount}; {FILL}
for free in $(seq 0 4 400); do
    fill $free
    "$1" train --device cpu --dataset notebook --hidden 4 --epochs 1 --out disk/run >/dev/null 2>said
    status=$?
    echo "$free KiB: exited $status; $(grep 'No space' said)"
    find disk/run -name '.run.json*' -printf 'left: %p\n' -o -path '*/.staging/*' -printf 'left: %p\n'
    if [ -e disk/run/run.json ]; then "$2" verify disk/run || echo "not whole"; else echo "no run"; fi
    [ $status = 0 ] && exit
    rm -r disk/ballast disk/run
done"#
    );
    let [program, arguments @ ..] = IN_NAMESPACE;
    let mut command = scratch.command(program.as_ref(), &arguments);
    command.args(["-c", &script, "sh"]);
    let finished = run(command.args([&programs.recorder, &programs.sink]));
    let stdout = &finished.stdout;
    let num_failures = stdout.matches(" KiB: exited 1; ").count();
    assert!(num_failures > 8, "{finished}");
    assert_eq!(stdout.matches(" KiB: exited 0; ").count(), 1, "{finished}");
    for said in [
        "error: ",
        "No space left on device",
        " are free on its file system",
    ] {
        assert_eq!(stdout.matches(said).count(), num_failures, "{finished}");
    }
    assert!(!stdout.contains("left: "), "{finished}");
    assert!(!stdout.contains("not whole"), "{finished}");
    // It ran out in all of these, each of which is told by its name.
    for place in [
        "cannot create the run disk/run/run.json",
        "the part file disk/run/",
        "cannot publish what was recorded into disk/run",
    ] {
        assert!(stdout.contains(place), "never: {place}\n{finished}");
    }
    let told =
        "cannot create the run disk/run/run.json: No space left on device (os error 28): up to ";
    let needed = number_between(stdout, told, " bytes are needed, 0 bytes and ");
    assert!(needed.is_some_and(|needed| needed > 1000), "{finished}");
}

/// Waits until the recorder has said `$1`, a minute at most.
#[cfg(target_os = "linux")]
const WAIT_UNTIL: &str = r#"
wait_until() {
    for _ in $(seq 600); do
        grep -qs "$1" said && return
        sleep 0.1
    done
    echo "never said: $1"
}
# `$@` is the recorder's command line; its process is `recorder` for who waits in the background.
record() { sh -c 'echo $$ >recorder; exec "$@" 2>said' sh "$@"; echo "recorder exited $?"; cat said >&2; }
"#;

#[cfg(target_os = "linux")]
#[test]
fn recording_goes_on_where_there_is_room_again_if_that_was_asked_for() {
    if !can_mount() {
        return;
    }
    let scratch = Scratch::new();
    let (programs, mount) = (binaries(), mount("size=200m"));
    let script = format!(
        r#"{mount}; {FILL} {WAIT_UNTIL}
fill 4096
{{
    wait_until 'has stopped until there is room'
    sleep 0.3
    rm disk/ballast
    wait_until 'there is room again'
    sleep 0.3
    kill -INT "$(cat recorder)"
}} &
record "$1" train --device cpu --dataset notebook --hidden 4 --epochs 100000000 --on-error continue \
    --out disk/run
"$2" verify disk/run; echo "sink exited $?"
"$3" sql disk/run "SELECT sum(value) AS lost FROM metrics WHERE name = 'recorder.lost_captures'" --format csv
"$3" sql disk/run "SELECT count(DISTINCT epoch) AS kept FROM weights" --format csv"#
    );
    let [program, arguments @ ..] = IN_NAMESPACE;
    let mut command = scratch.command(program.as_ref(), &arguments);
    command.args(["-c", &script, "sh"]);
    let finished = run(command.args([&programs.recorder, &programs.sink, &programs.query]));
    let (stdout, stderr) = (&finished.stdout, &finished.stderr);
    assert!(stdout.contains("recorder exited 130\n"), "{finished}");
    assert!(!stdout.contains("never said"), "{finished}");
    let stopped =
        "warning: recording into disk/run has stopped until there is room, training goes on: ";
    assert_eq!(stderr.matches(stopped).count(), 1, "{finished}");
    assert_eq!(
        stderr.matches("No space left on device").count(),
        1,
        "{finished}"
    );
    let goes_on = "there is room again, recording into disk/run goes on: ";
    assert_eq!(stderr.matches(goes_on).count(), 1, "{finished}");
    // Each epoch is there, or counted.
    let trained = number_between(stdout, "interrupted after ", " epochs").unwrap();
    let kept = number_between(stdout, "\nkept ", " captures in disk/run: ").unwrap();
    let lost = number_between(stdout, " files\n", " captures were lost").unwrap();
    assert_eq!(kept + lost, trained, "{finished}");
    assert!(lost > 0, "{finished}");
    let verified = number_between(stdout, "whole; ", " captures in ");
    assert_eq!(verified, Some(kept), "{finished}");
    assert!(stdout.contains("not finished: "), "{finished}");
    assert!(stdout.contains("sink exited 0\n"), "{finished}");
    assert!(stdout.contains(&format!("lost\n{lost}.0\n")), "{finished}");
    assert!(stdout.contains(&format!("kept\n{kept}\n")), "{finished}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_is_unmounted_ends_recording_and_training_goes_on_if_that_was_asked_for() {
    if !can_mount() {
        return;
    }
    for (on_error, status) in [("stop", 1), ("continue", 130)] {
        let scratch = Scratch::new();
        let (programs, mount) = (binaries(), mount("size=200m"));
        let script = format!(
            r#"{mount}; {WAIT_UNTIL}
{{
    wait_until 'epoch '
    umount -l disk
    if [ {on_error} = continue ]; then
        wait_until 'warning: recording into disk/run failed'
        sleep 0.3
        kill -INT "$(cat recorder)"
    fi
}} &
record "$1" train --device cpu --dataset notebook --hidden 4 --epochs 100000000 --on-error {on_error} \
    --out disk/run"#
        );
        let [program, arguments @ ..] = IN_NAMESPACE;
        let mut command = scratch.command(program.as_ref(), &arguments);
        command.args(["-c", &script, "sh"]);
        let finished = run(command.args([&programs.recorder]));
        let (stdout, stderr) = (&finished.stdout, &finished.stderr);
        let exited = format!("recorder exited {status}\n");
        assert!(stdout.contains(&exited), "{finished}");
        assert!(!stdout.contains("never said"), "{finished}");
        let gone = "the run disk/run is not there any more, it was moved or removed, or its disk unmounted";
        assert_eq!(stderr.matches(gone).count(), 1, "{finished}");
        // Nothing was begun anew where the disk was.
        assert!(!scratch.path("disk/run").exists(), "{finished}");
    }
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
