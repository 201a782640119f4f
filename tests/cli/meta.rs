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
fn why_there_is_nothing_to_learn_from_is_told() {
    let scratch = Scratch::new();
    let train = |record: &str, more: &[&str]| {
        let always = ["--hidden", "12", "--record", record, "--out", "run"];
        std::fs::remove_dir_all(scratch.path("run")).ok();
        scratch.train(&[&always, more].concat());
    };
    let refused = |arguments: &[&str]| {
        run(&mut scratch.query(&[&["meta", "run"], arguments].concat())).expect_failure(1)
    };
    train("weights,classifications", &["--epochs", "1"]);
    assert_eq!(
        refused(&[]),
        "error: epoch 0 was captured without activations of held-out samples, which are what is learned \
         from (statistics of them tell nothing of a sample): `recorder train --record \
         activations,classifications` records both\n"
    );
    train("activations", &["--epochs", "2"]);
    assert!(refused(&["--epoch", "all"]).starts_with(
        "error: every epoch was captured without classifications of held-out samples, which say"
    ));
    assert_eq!(
        refused(&["--epoch", "7"]),
        "error: epoch 7 was not captured: 2 epochs from 0 to 1 were, the nearest is 1\n"
    );

    // Of the 14 samples that activations were kept of, a trained network is right about most; of the
    // first epochs' it is not.
    let few = [
        "--epochs",
        "40",
        "--activation-samples",
        "14",
        "--lr",
        "3e-3",
    ];
    train("activations,classifications", &few);
    let count = "SELECT epoch, count(*) FILTER (WHERE NOT correct) AS wrong FROM classifications
        WHERE sample < 14 GROUP BY epoch ORDER BY epoch";
    let wrong: Vec<u64> = scratch
        .rows("run", count)
        .iter()
        .map(|r| r["wrong"].as_u64().unwrap())
        .collect();
    let last = wrong[39];
    assert!(last < 5, "{wrong:?}");
    let enough = wrong.iter().rposition(|wrong| (5..=9).contains(wrong));
    let advice = match enough {
        Some(epoch) => format!(
            "epoch {epoch} has enough, with {} mistakes (--epoch {epoch})",
            wrong[epoch]
        ),
        None => "no epoch that was captured has enough".to_owned(),
    };
    assert_eq!(
        refused(&[]),
        format!(
            "error: at epoch 39 the network is right about {} of 14 samples and wrong about {last}, and 5 \
             of either are the least that can be learned from; {advice}\n",
            14 - last
        )
    );
}
