//! Runs of which a part is on another file system, or behind another mount of the same one.

use std::process::Command;

use super::*;
use crate::disk::{Operation, Subject};

/// Where the kernel tells before anything is done, and where a link or an exchange is refused.
#[test]
fn what_was_done_so_far_is_told_where_files_cannot_be_moved() {
    let dir = tempfile::tempdir().unwrap();
    let run = damaged(&dir.path().join("run"));
    let before = tree(run.path());
    for (point, num_before) in [
        (Point::of(Operation::Link, Subject::Damaged), 0),
        (Point::of(Operation::Link, Subject::Damaged), 2),
        (Point::of(Operation::Exchange, Subject::History), 0),
    ] {
        let copy = tempfile::tempdir().unwrap();
        let path = copy.path().join("run");
        copied(run.path(), &path);
        let disk = SimDisk::over(copy.path()).unwrap();
        disk.fail_at(point, num_before, Fault::OtherFileSystem);
        let error = repair_on(&disk.disk(), &path, RepairOptions::default()).unwrap_err();
        assert!(disk.stop_failing());
        assert!(matches!(error, RepairError::Elsewhere { .. }), "{error}");
        let error = error.to_string();
        assert!(error.contains("cp -rL"), "{error}");
        assert!(!error.contains("Nothing was changed"), "{error}");
        // As it says: everything is in its place, and the rest can go.
        fs::remove_dir_all(path.join(DAMAGED_DIR)).unwrap();
        assert_eq!(tree(&path), before);
        repaired(&path);
    }
}

/// Says to the test below that it is the process that may mount.
const IN_NAMESPACE: &str = "STRATIGRAPH_TEST_IN_NAMESPACE";

/// The file system is the same, and so is its device: Linux links nothing from one mount to another all the same.
#[cfg(target_os = "linux")]
#[test]
fn a_run_of_two_mounts_is_left_as_it_is() {
    if std::env::var_os(IN_NAMESPACE).is_some() {
        return refuses_mounts();
    }
    let unshare = |program: &Path| {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--mount"]).arg(program);
        command
    };
    let probe = unshare(Path::new("true")).status();
    if !probe.is_ok_and(|status| status.success()) {
        println!("skipped: nothing can be mounted here");
        return;
    }
    let module = module_path!().split_once("::").unwrap().1;
    let name = format!("{module}::a_run_of_two_mounts_is_left_as_it_is");
    let mut command = unshare(&std::env::current_exe().unwrap());
    let output = command
        .args(["--exact", &name, "--nocapture"])
        .env(IN_NAMESPACE, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{complaints}");
    assert!(said.contains("1 passed"), "{said}");
}

fn refuses_mounts() {
    for below in ["weights", "commits", "run.json"] {
        let dir = tempfile::tempdir().unwrap();
        let run = damaged(&dir.path().join("run"));
        let path = run.path().join(below);
        let other = dir.path().join("other");
        match path.is_dir() {
            true => copied(&path, &other),
            false => drop(fs::copy(&path, &other).unwrap()),
        }
        let mounted = Command::new("mount")
            .arg("--bind")
            .args([&other, &path])
            .status();
        assert!(mounted.unwrap().success());
        let before = tree(run.path());
        for dry_run in [true, false] {
            let options = RepairOptions {
                dry_run,
                ..RepairOptions::default()
            };
            let error = repair(run.path(), options).unwrap_err().to_string();
            assert!(error.contains(below), "{error}");
            assert!(error.contains("behind a link or a mount"), "{error}");
            assert!(error.contains("Nothing was changed"), "{error}");
        }
        assert_eq!(tree(run.path()), before);
        assert!(
            Command::new("umount")
                .arg(&path)
                .status()
                .unwrap()
                .success()
        );
        repaired(run.path());
    }
}
