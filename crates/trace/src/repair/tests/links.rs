//! Links where a run has files of its own, as somebody has put them there, or a copy made them.

use std::os::unix::fs::symlink;

use super::*;

const OPTIONS: RepairOptions = RepairOptions {
    dry_run: false,
    unchecked: false,
};

/// A run of which one record cannot be read, so that there is something to repair.
fn damaged() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let run = recorded(&dir.path().join("run"));
    scramble(&record_path(&run, 1));
    let path = run.path().to_owned();
    (dir, path)
}

fn names(path: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(path).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}

#[test]
fn what_is_moved_aside_stays_in_the_run() {
    let (dir, path) = damaged();
    let outside = dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    for target in ["../outside", "../nowhere"] {
        symlink(target, path.join(DAMAGED_DIR)).unwrap();
        let before = names(&path.join("commits"));
        for dry_run in [true, false] {
            let error = repair(&path, RepairOptions { dry_run, ..OPTIONS }).unwrap_err();
            let error = error.to_string();
            assert!(error.contains("damaged is a link"), "{error}");
        }
        assert_eq!(names(&outside), BTreeSet::new());
        assert_eq!(names(&path.join("commits")), before);
        assert!(!dir.path().join("nowhere").exists());
        fs::remove_file(path.join(DAMAGED_DIR)).unwrap();
    }
    repaired(&path);
}

#[test]
fn a_lock_is_no_link() {
    for name in [".structures.lock", ".rank-7.lock"] {
        let (dir, path) = damaged();
        symlink("../made", path.join(name)).unwrap();
        let before = tree(&path.join("commits"));
        for dry_run in [true, false] {
            let error = repair(&path, RepairOptions { dry_run, ..OPTIONS }).unwrap_err();
            let error = crate::causes::with_causes(&error);
            assert!(error.contains(name), "{error}");
            assert!(error.contains("it is a link"), "{error}");
        }
        assert!(!dir.path().join("made").exists());
        assert_eq!(tree(&path.join("commits")), before);
        fs::remove_file(path.join(name)).unwrap();
        repaired(&path);
    }
}

/// What writes to the run makes nothing there either.
#[test]
fn no_writer_makes_what_a_lock_leads_to() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    let run = crate::testing::create_run_of_ranks(&path, 2);
    symlink("../made", path.join(".rank-1.lock")).unwrap();
    symlink("../made", path.join(".structures.lock")).unwrap();
    let error = crate::causes::with_causes(&run.lock_writer(Rank(1)).unwrap_err());
    assert!(error.contains("it is a link"), "{error}");
    let error = run.store().lock_table(Table::Structures).unwrap_err();
    let error = crate::causes::with_causes(&error);
    assert!(error.contains("it is a link"), "{error}");
    assert!(!dir.path().join("made").exists());
    run.lock_writer(Rank(0)).unwrap();
}

/// Were `run.json` looked for where the link leads, there would be none to exchange, and its name was taken.
#[test]
fn a_run_file_that_leads_nowhere_is_written_anew() {
    let dir = tempfile::tempdir().unwrap();
    let run = recorded(&dir.path().join("run"));
    let whole = answer(run.path());
    let file = run.path().join(RUN_FILE);
    let json = fs::read(&file).unwrap();
    fs::remove_file(&file).unwrap();
    symlink("nowhere", &file).unwrap();
    let report = repaired(run.path());
    assert_eq!(report.lost, Vec::<String>::new());
    assert_eq!(fs::read(&file).unwrap(), json);
    assert!(!file.is_symlink());
    assert_eq!(answer(run.path()), whole);
    // The link is kept, as all that is replaced.
    let kept = report.moved_to.unwrap();
    assert_eq!(
        fs::read_link(kept.join(RUN_FILE)).unwrap(),
        Path::new("nowhere")
    );
    assert_eq!(names(&run.path().join(DAMAGED_DIR)).len(), 1);
    assert!(!names(&kept).contains("run.json.new"));
}
