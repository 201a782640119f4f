//! `query structures` on a real run.

use stratigraph::{Scratch, run};

#[test]
fn neurons_that_somebody_names_are_a_structure_as_well() {
    let scratch = Scratch::new();
    scratch.train(&["--epochs", "4", "--hidden", "16,8", "--out", "run"]);
    let query = |arguments: &[&str]| run(&mut scratch.query(arguments));
    let label = |more: &[&str]| query(&[&["structures", "label", "run"], more].concat());
    let neurons = ["mine", "--neurons", "17,L_input:3,3"];
    let told = label(&[&neurons[..], &["--class", "4", "--epochs", "1..3"]].concat());
    assert_eq!(
        told.expect_success(),
        "mine: neurons 3, 17 (L_hidden_1, L_input), epochs 1 to 2\n"
    );
    let kept = "SELECT epoch, step, name, class, layer, neuron, first_epoch, last_epoch,
        coalesce(CAST(score AS text), CAST(p_value AS text), measure, half, CAST(seed AS text)) AS found
        FROM structures ORDER BY neuron";
    let row = |layer: &str, neuron: i32| {
        serde_json::json!({
            "epoch": 2, "step": 72, "name": "mine", "class": 4, "layer": layer, "neuron": neuron,
            "first_epoch": 1, "last_epoch": 2, "found": null
        })
    };
    assert_eq!(
        scratch.rows("run", kept),
        [row("L_input", 3), row("L_hidden_1", 17)]
    );

    // How well they tell the class is worked out as of any structure, and so is what they are for.
    let show = query(&["structures", "show", "run", "mine", "--format", "csv"]);
    assert!(
        show.stderr
            .contains("together, at epoch 2 on all held-out samples: "),
        "{show}"
    );
    assert_eq!(show.expect_success().lines().count(), 3);
    let ablate = |epoch| {
        let arguments = ["ablate", "run", "--epoch", epoch, "--structure", "mine"];
        run(&mut scratch.recorder(&arguments))
    };
    let silenced = ablate("2").expect_success();
    assert!(
        silenced.contains("1 of the 8 neurons of L_hidden_1 set to zero: 17\n"),
        "{silenced}"
    );
    assert!(silenced.contains("all but class 4"), "{silenced}");
    assert!(!silenced.contains("flatters"), "{silenced}");
    assert!(
        ablate("last")
            .expect_failure(1)
            .contains("at epochs 1 to 2")
    );

    let taken = label(&neurons).expect_failure(1);
    assert!(
        taken.contains("there is a structure \"mine\" already"),
        "{taken}"
    );
    let told = label(&[&neurons[..], &["--force"]].concat()).expect_success();
    assert_eq!(
        told,
        "mine: neurons 3, 17 (L_hidden_1, L_input), epochs 0 to 3\n"
    );
    let list = query(&["structures", "list", "run", "--format", "csv"]).expect_success();
    let list: Vec<&str> = list.lines().skip(1).collect();
    assert_eq!(list, ["mine,,3,2,0,3,,,,"]);

    let valid = "those before the outputs are 0 to 15 (L_input), 16 to 23 (L_hidden_1)";
    for (arguments, status, expected) in [
        (
            &["--neurons", "34"][..],
            1,
            &format!("there is no neuron 34: {valid}\n")[..],
        ),
        (
            &["--neurons", "3,L_inptu:3"],
            1,
            "no layer \"L_inptu\"; did you mean L_input?: those before the outputs are 0 to",
        ),
        (
            &["--neurons", "3,24"],
            1,
            "neuron 24 is an output of the network",
        ),
        (
            &["--neurons", "L_output:3"],
            1,
            "neuron 3 is of layer L_input, not of L_output: those before the outputs are",
        ),
        (
            &["--neurons", "n_3"],
            2,
            "\"n_3\" is no neuron: give its number in the tables",
        ),
        (
            &["--neurons", "3", "--class", "10"],
            1,
            "there is no class 10: there are 0 to 9",
        ),
        (
            &["--neurons", "3", "--epochs", "4.."],
            1,
            "no epoch from 4 on was captured: 4 epochs from 0 to 3 were",
        ),
        (
            &["--neurons", "3", "--epochs", "3..3"],
            2,
            "expected epochs as 5..20",
        ),
        (&["--class", "3"], 2, "--neurons"),
        (&[], 2, "label <RUN> <NAME> --neurons <"),
        (&["other", "--neurons", "3"], 2, "cannot be used with"),
    ] {
        let stderr = label(&[&["fresh"], arguments].concat()).expect_failure(status);
        assert!(stderr.contains(expected), "{stderr}");
    }
    let verified = run(&mut scratch.sink(&["verify", "run"])).expect_success();
    assert!(verified.contains("run: whole; 4 captures"), "{verified}");
}

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

    let never = query(&["structures", "find", "run", "--epoch", "40"]).expect_failure(1);
    assert!(
        never.contains("epoch is 40, which was not captured: 6 epochs from 0 to 5"),
        "{never}"
    );

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

    // Several are removed at once, or none; their names are free again.
    let others =
        "SELECT * FROM structures WHERE name NOT IN ('threes', 'class_1') ORDER BY name, neuron";
    let others_before = scratch.rows("run", others);
    let remove = |names: &[&str]| query(&[&["structures", "remove", "run"], names].concat());
    let unknown = remove(&["threes", "class_12"]).expect_failure(1);
    assert!(
        unknown.contains("there is no structure \"class_12\"; did you mean"),
        "{unknown}"
    );
    query(&["structures", "show", "run", "threes"]).expect_success();
    remove(&["threes", "class_1"]).expect_success();
    assert_eq!(scratch.rows("run", all), others_before);
    assert_eq!(scratch.rows("run", others), others_before);
    let gone = query(&["structures", "show", "run", "threes"]).expect_failure(1);
    assert!(gone.contains("there is no structure \"threes\""), "{gone}");
    query(&["structures", "label", "run", "threes", "--neurons", "0"]).expect_success();

    let verified = run(&mut scratch.sink(&["verify", "run"])).expect_success();
    assert!(verified.contains("run: whole; 6 captures"), "{verified}");
}
