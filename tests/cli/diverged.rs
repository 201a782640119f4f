//! A training that diverges: said when it happens, and wherever nothing is left to show.

use std::fs;

use stratigraph::{Scratch, run};

/// Weights leave the range of 32-bit floats at the first steps.
fn diverged() -> (Scratch, String) {
    let scratch = Scratch::new();
    let train = [
        "train", "--device", "cpu", "--hidden", "8", "--epochs", "3", "--lr", "1e30", "--out",
        "run",
    ];
    let done = run(&mut scratch.recorder(&train));
    let stderr = done.stderr.clone();
    done.expect_success();
    (scratch, stderr)
}

#[test]
fn a_training_that_diverges_says_so_once_and_so_do_its_pictures() {
    let (scratch, stderr) = diverged();
    let told: Vec<&str> = stderr
        .lines()
        .filter(|line| line.contains("training has diverged"))
        .collect();
    let [told] = told[..] else {
        panic!("{stderr}");
    };
    assert!(
        told.contains("WARN") && told.contains("at epoch 0"),
        "{told}"
    );
    assert!(told.contains("weights of L_"), "{told}");

    // What is left of a layer is drawn, with a note; or there is nothing, and that is why.
    for kind in [
        "curves",
        "weights",
        "distributions",
        "confusion",
        "association",
        "correlation",
        "embedding",
        "network",
        "cartography",
    ] {
        let page = format!("{kind}.html");
        let done = run(&mut scratch.query(&["plot", kind, "run", "-o", &page]));
        let told = match done.code() {
            Some(0) => fs::read_to_string(scratch.path(&page)).unwrap(),
            _ => done.stderr.clone(),
        };
        assert!(
            told.contains("not finite since epoch 0"),
            "{kind}: {}",
            done.stderr
        );
        assert!(!told.contains("this run has none"), "{kind}: {told}");
    }
    let meta = run(&mut scratch.query(&["meta", "run"]));
    assert_eq!(meta.code(), Some(1), "{}", meta.stderr);
    let embed = run(&mut scratch.query(&["embed", "run"]));
    for told in [meta.stderr, embed.stderr] {
        assert!(told.contains("not finite since epoch 0"), "{told}");
    }
    let phases = run(&mut scratch.query(&["phases", "run"]));
    assert!(
        phases.stderr.contains("are not finite since epoch 0"),
        "{}",
        phases.stderr
    );
    let report = ["report", "run", "--permutations", "99", "-o", "report.html"];
    run(&mut scratch.query(&report)).expect_success();
    let page = fs::read_to_string(scratch.path("report.html")).unwrap();
    assert!(page.contains("Training has diverged: "));
    assert!(page.contains("not finite since epoch 0"));
    assert!(!page.contains("this run has none"));
}
