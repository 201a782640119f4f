use super::*;

fn series(values: &[f64]) -> Rows {
    Rows::new(values.len(), 1, values.to_vec())
}

#[test]
fn stretches_of_a_series_are_found_where_they_change() {
    let values = [
        0.0, 0.1, -0.1, 0.05, 0.0, 5.0, 5.1, 4.9, 5.0, 2.0, 2.1, 1.9, 2.0,
    ];
    let series = series(&values);
    let decoded = HiddenMarkov::fit(&series, 3).decode(&series);
    assert_eq!(decoded.states, [0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]);
    assert!(decoded.probabilities.iter().all(|p| *p > 0.99));
}

#[test]
fn a_single_state_is_a_normal_distribution() {
    // Mean 2, squares 1 + 1 = 2.
    let series = series(&[1.0, 3.0]);
    let model = HiddenMarkov::fit(&series, 1);
    let variance: f64 = (2.0 + VARIANCE_PRIOR) / 2.0;
    let expected = -(std::f64::consts::TAU * variance).ln() - 1.0 / variance;
    let decoded = model.decode(&series);
    assert!(
        (decoded.log_likelihood - expected).abs() < 1e-9,
        "{decoded:?}"
    );
    assert_eq!(decoded.states, [0, 0]);
    assert_eq!(model.num_parameters(), 2);
}

#[test]
fn the_likelihood_is_the_sum_over_all_paths() {
    let series = series(&[0.3, 1.9, 0.2, 2.2]);
    let model = HiddenMarkov {
        start: vec![0.6f64.ln(), 0.4f64.ln()],
        transitions: vec![
            vec![0.7f64.ln(), 0.3f64.ln()],
            vec![0.2f64.ln(), 0.8f64.ln()],
        ],
        means: vec![vec![0.0], vec![2.0]],
        variances: vec![vec![0.5], vec![1.5]],
    };
    let densities = model.densities(&series);
    let of_path = |path: &[usize]| {
        let moves = path
            .windows(2)
            .map(|pair| model.transitions[pair[0]][pair[1]]);
        let seen = path
            .iter()
            .enumerate()
            .map(|(at, state)| densities[at][*state]);
        model.start[path[0]] + moves.sum::<f64>() + seen.sum::<f64>()
    };
    let paths: Vec<Vec<usize>> = (0..16)
        .map(|bits: usize| (0..4).map(|at| bits >> at & 1).collect())
        .collect();
    let total: f64 = paths.iter().map(|path| of_path(path).exp()).sum();
    let decoded = model.decode(&series);
    assert!((decoded.log_likelihood - total.ln()).abs() < 1e-12);
    let best = paths
        .iter()
        .max_by(|a, b| of_path(a).total_cmp(&of_path(b)))
        .unwrap();
    assert_eq!(model.likeliest(&densities), *best);
    let in_state = |at: usize, state: usize| {
        let paths = paths.iter().filter(|path| path[at] == state);
        paths.map(|path| of_path(path).exp()).sum::<f64>() / total
    };
    for (at, probability) in decoded.probabilities.iter().enumerate() {
        assert!((probability - in_state(at, best[at])).abs() < 1e-12);
    }
}

#[test]
fn a_step_makes_the_series_likelier() {
    let values: Vec<f64> = (0..40)
        .map(|i| (f64::from(i) * 0.37).sin() + f64::from(i) / 9.0)
        .collect();
    let series = series(&values);
    let mut model = HiddenMarkov::begin(&series, 3);
    let likelihoods: Vec<f64> = (0..5).map(|_| model.improve(&series)).collect();
    assert!(likelihoods.is_sorted(), "{likelihoods:?}");
}
