//! `query meta`.

use stratigraph::{Scratch, run};

#[test]
fn what_neurons_tell_of_mistakes_is_told() {
    let scratch = Scratch::new();
    scratch.train(&["--hidden", "12", "--epochs", "4", "--out", "run"]);
    let asked = run(&mut scratch.query(&["meta", "run", "--top", "5", "--format", "csv"]));
    let stderr = asked.stderr.clone();
    assert!(
        stderr.starts_with("epoch 3: 297 held-out samples, "),
        "{stderr}"
    );
    assert!(
        stderr.contains("the network's own confidence 0."),
        "{stderr}"
    );
    let csv = asked.expect_success();
    assert_eq!(csv.lines().count(), 6, "{csv}");
    assert!(csv.starts_with("epoch,layer,neuron,importance,"), "{csv}");
    // The output layer's units are the outputs.
    assert!(!csv.contains("L_output"), "{csv}");

    // An untrained network is wrong often enough, too; of each epoch there is a line.
    let all = run(&mut scratch.query(&["meta", "run", "--epoch", "all", "--trees", "5"]));
    assert_eq!(
        all.stderr.matches("held-out samples").count(),
        4,
        "{}",
        all.stderr
    );
    all.expect_success();

    let layer = run(&mut scratch.query(&["meta", "run", "--layer", "L_output"]));
    assert!(layer.expect_failure(1).contains("is the output layer"));
    let typo = run(&mut scratch.query(&["meta", "run", "--layer", "L_inptu"]));
    assert!(typo.expect_failure(1).contains("did you mean L_input?"));
}

#[test]
fn without_mistakes_there_is_nothing_to_learn() {
    let scratch = Scratch::new();
    let weights = ["--record", "weights,classifications", "--epochs", "1"];
    scratch.train(&[&weights[..], &["--out", "run"]].concat());
    let stderr = run(&mut scratch.query(&["meta", "run"])).expect_failure(1);
    assert!(
        stderr.contains("there is nothing to learn from"),
        "{stderr}"
    );
    assert!(
        stderr.contains("five held-out samples at least"),
        "{stderr}"
    );
}
