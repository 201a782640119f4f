//! `query describe` and `query list`.

use super::Bench;

#[test]
fn tables_are_described_with_their_columns() {
    let described = Bench::new().stdout(&["describe", "weights"]);
    for told in [
        "weights: table\n",
        "One row a neuron a capture: its bias, its incoming weights, and their statistics.",
        "\n  epoch          Int32          the epoch, from 0; -1 for the untrained network\n",
        "\n  bias           Float32        null where the layer has none\n",
        "\nExample\n  SELECT layer, neuron, weight_l2 FROM weights",
    ] {
        assert!(described.contains(told), "{told}: {described}");
    }
}

#[test]
fn functions_are_described_with_and_without_parentheses() {
    let bench = Bench::new();
    let described = bench.stdout(&["describe", "vec_mean"]);
    for told in [
        "vec_mean(list): aggregate function\n",
        "mean over rows, element by element",
        "\nAlso: vec_avg\n",
        "\nExample\n  SELECT layer, vec_mean(weights) FROM weights GROUP BY layer\n",
    ] {
        assert!(described.contains(told), "{told}: {described}");
    }
    for name in ["vec_mean()", "vec_mean(weights)", "VEC_AVG"] {
        assert_eq!(bench.stdout(&["describe", name]), described, "{name}");
    }
    let described = bench.stdout(&["describe", "connections()"]);
    assert!(
        described.starts_with("connections(): table function\n"),
        "{described}"
    );
    assert!(
        described.contains("\n  weight         Float32  its strength\n"),
        "{described}"
    );
    let described = bench.stdout(&["describe", "cosine_distance"]);
    assert!(described.contains("1 minus the cosine"), "{described}");
    assert!(described.contains("of DataFusion"), "{described}");
    let described = bench.stdout(&["describe", "abs"]);
    assert!(described.starts_with("abs("), "{described}");
}

#[test]
fn a_name_of_two_things_is_described_as_both() {
    let described = Bench::new().stdout(&["describe", "connections"]);
    assert!(described.starts_with("connections\n"), "{described}");
    assert!(
        described.contains("\nconnections(): table function\n"),
        "{described}"
    );
}

#[test]
fn a_column_is_described_for_each_table_that_has_it() {
    let bench = Bench::new();
    let described = bench.stdout(&["describe", "confidence"]);
    assert!(
        described.contains("  classifications.confidence  Float32  the probability"),
        "{described}"
    );
    let described = bench.stdout(&["describe", "gradients.bias"]);
    assert_eq!(
        described,
        "Columns of that name\n  gradients.bias  Float32  derivative by the bias; null where the \
         layer has none\n"
    );
}

#[test]
fn list_tells_tables_and_functions_as_well() {
    let bench = Bench::new();
    let names = |what: &[&str]| -> Vec<String> {
        let list = bench.stdout(&[&["list"], what].concat());
        let first = list
            .lines()
            .filter_map(|line| line.split(['(', ' ']).next());
        first.map(str::to_owned).collect()
    };
    assert_eq!(
        names(&["tables"]),
        [
            "weights",
            "activations",
            "classifications",
            "metrics",
            "histograms",
            "gradients",
            "gradients_applied",
            "moments",
            "structures",
            "ablations",
            "layers",
            "neurons",
            "commits"
        ]
    );
    assert_eq!(names(&["queries"]), names(&[]));
    let functions = names(&["functions"]);
    for name in [
        "vec_mean",
        "pad",
        "last_epoch",
        "cosine_distance",
        "connections",
    ] {
        assert!(functions.iter().any(|known| known == name), "{name}");
    }
    let all = names(&["all"]);
    for name in ["weights", "padded", "vec_mean", "sqrt"] {
        assert!(all.iter().any(|known| known == name), "{name}");
    }
}
