use super::*;

fn points() -> Points {
    let values = (0..7).flat_map(|neuron| [f64::from(neuron), 1.0]);
    Points {
        neurons: (10..17).collect(),
        layers: (0..7).map(|place| format!("L_{}", place / 4)).collect(),
        rows: Rows::new(7, 2, values.collect()),
        num_left_out: 0,
        num_passed_over: 0,
    }
}

#[test]
fn some_of_many_neurons_are_evenly_spread_ones() {
    let mut few = points();
    few.keep(3);
    assert_eq!(few.neurons, [10, 13, 16]);
    assert_eq!(few.layers, ["L_0", "L_0", "L_1"]);
    assert_eq!(
        few.rows,
        Rows::new(3, 2, vec![0.0, 1.0, 3.0, 1.0, 6.0, 1.0])
    );
    assert_eq!(few.num_passed_over, 4);

    let mut all = points();
    all.keep(7);
    assert_eq!((all.neurons.len(), all.num_passed_over), (7, 0));
}

#[test]
fn how_many_neurons_were_passed_over_is_told() {
    let embedding = Embedding {
        epoch: 3,
        neurons: vec![0, 2],
        layers: vec!["L_0".to_owned(); 2],
        points: vec![vec![0.0, 0.0], vec![1.0, 0.0]],
        clusters: vec![0, 1],
        leaves: vec![0, 1],
        merges: Vec::new(),
        num_left_out: 1,
        num_passed_over: 3,
        not_finite: None,
        variance_shares: None,
        divergence: None,
        trustworthiness: Some(0.75),
        num_neighbours: 1,
        silhouette: Some(0.5),
    };
    assert_eq!(
        embedding.verdict(),
        "epoch 3: 2 of 5 neurons, evenly spread; 1 left out, not finite; trustworthiness of 1 neighbours 0.75 \
         (neighbours in the picture are often none in the data); 2 clusters, silhouette 0.5"
    );
    let short = embedding.findings(|value| format!("{value:.1}"));
    assert_eq!(short[3], "2 clusters, silhouette 0.5");
}

#[test]
fn shares_of_the_variance_are_of_all_that_neurons_vary() {
    // Along the first axis 1 to both sides, along the second 2.
    let points = Rows::new(4, 2, vec![1.0, 0.0, -1.0, 0.0, 0.0, 2.0, 0.0, -2.0]);
    let components = principal_components(&points, 2);
    let shares = variance_shares(&points, &components).unwrap();
    assert!((shares[0] - 0.8).abs() < 1e-12, "{shares:?}");
    assert!((shares[1] - 0.2).abs() < 1e-12, "{shares:?}");
    let alike = Rows::new(2, 1, vec![3.0, 3.0]);
    assert_eq!(
        variance_shares(&alike, &principal_components(&alike, 1)),
        None
    );
}
