//! `query structures` on a real run.

use stratigraph::{Scratch, run};

#[test]
fn structures_are_found_named_and_shown() {
    let scratch = Scratch::new();
    scratch.train(&["--epochs", "6", "--out", "run"]);
    let query = |arguments: &[&str]| run(&mut scratch.query(arguments));
    let find = |more: &[&str]| {
        let always = [
            "structures",
            "find",
            "run",
            "--half",
            "first",
            "--permutations",
            "99",
        ];
        query(&[&always, more].concat())
    };
    let shown = find(&["--dry-run", "--class", "3"]).expect_success();
    assert!(shown.starts_with("class_3: neurons "), "{shown}");
    assert_eq!(shown.lines().count(), 1);
    let none = scratch.rows("run", "SELECT count(*) AS n FROM structures");
    assert_eq!(none, [serde_json::json!({"n": 0})]);

    let found = find(&[]).expect_success();
    assert!(
        found.lines().any(|line| line == shown.trim_end()),
        "{found}"
    );
    let kept = "SELECT count(DISTINCT name) AS structures, count(DISTINCT class) AS classes,
        max(p_value) < 0.05 AS found, min(score) > 0 AS positive, max(last_epoch) AS last,
        count(*) <= 5 * count(DISTINCT name) AS small, min(half) AS half FROM structures";
    let kept = &scratch.rows("run", kept)[0];
    assert_eq!(kept["structures"], found.lines().count());
    assert_eq!(kept["structures"], kept["classes"]);
    let told = ["found", "positive", "small"].map(|name| kept[name].as_bool());
    assert_eq!(told, [Some(true); 3], "{kept}");
    assert_eq!((&kept["last"], &kept["half"]), (&5.into(), &"first".into()));
    // The output layer's units are no neurons that go with an output.
    let outputs = "SELECT count(*) AS n FROM structures WHERE layer = 'L_output'";
    assert_eq!(scratch.rows("run", outputs), [serde_json::json!({"n": 0})]);

    // A name is not taken twice, unless that is meant.
    let all = "SELECT * FROM structures ORDER BY name, neuron";
    let before = scratch.rows("run", all);
    let taken = find(&[]).expect_failure(1);
    assert!(taken.contains("there is a structure \"class_"), "{taken}");
    find(&["--force"]).expect_success();
    assert_eq!(scratch.rows("run", all), before);

    query(&["structures", "label", "run", "class_3", "threes"]).expect_success();
    let same = query(&["structures", "label", "run", "class_1", "threes"]).expect_failure(1);
    assert!(
        same.contains("there is a structure \"threes\" already"),
        "{same}"
    );
    let unknown = query(&["structures", "show", "run", "class_3"]).expect_failure(1);
    assert!(
        unknown.contains("there is no structure \"class_3\"; did you mean"),
        "{unknown}"
    );

    let list = query(&["structures", "list", "run", "--format", "csv"]).expect_success();
    assert_eq!(list.lines().count(), 1 + found.lines().count());
    assert!(
        list.lines().any(|line| line.starts_with("threes,3,5,")),
        "{list}"
    );

    // What one half chose is judged on the other.
    let show = query(&["structures", "show", "run", "threes", "--format", "csv"]);
    let judged = "together, at epoch 5 on the second half of the held-out samples: ";
    assert!(show.stderr.contains(judged), "{show}");
    let neurons = show.expect_success();
    let row = neurons.lines().nth(1).unwrap();
    assert!(row.starts_with("threes,3,L_"), "{neurons}");

    let verified = run(&mut scratch.sink(&["verify", "run"])).expect_success();
    assert!(verified.contains("run: whole; 6 captures"), "{verified}");
}
