use super::*;

/// What a layer sees, and the weights of its neurons.
type Seen = (Origins, Vec<(i32, Vec<f32>)>);

/// Origins of which each has one position.
fn origins(all: &[Origin]) -> Origins {
    Origins::new(all.iter().copied().map(Some))
}

/// Every chain into `end`, found by going through all of them: (logarithm, input, neurons).
fn every_chain(layers: &[Seen], end: i32) -> Vec<(f64, i32, Vec<i32>)> {
    let mut found = Vec::new();
    for (origins, rows) in layers {
        let Some((_, weights)) = rows.iter().find(|(neuron, _)| *neuron == end) else {
            continue;
        };
        for (origin, weight) in origins.origins.iter().zip(weights) {
            let log = f64::from(weight.abs()).ln();
            match origin {
                Origin::Input(input) => found.push((log, *input, vec![end])),
                Origin::Neuron(from) => {
                    for (before, input, mut neurons) in every_chain(layers, *from) {
                        neurons.push(end);
                        found.push((before + log, input, neurons));
                    }
                }
            }
        }
    }
    found
}

fn strongest(chains: &Chains, ends: std::ops::Range<i32>) -> Vec<Chain> {
    let ends = chains.strongest(ends).into_iter();
    ends.map(|end| chains.chain(end)).collect()
}

#[test]
fn the_strongest_are_those_that_going_through_all_chains_finds() {
    // 3 inputs, then 4, 3 and 2 neurons; the last layer sees an input as well.
    let weight = |neuron: i32, position: usize| {
        let number = (neuron as usize * 37 + position * 101 + 11) % 97;
        (number as f32 - 48.5) / 30.0
    };
    let inputs = (0..3).map(Origin::Input);
    let seen = [
        inputs.collect::<Vec<_>>(),
        (0..4).map(Origin::Neuron).collect(),
        (4..7)
            .map(Origin::Neuron)
            .chain([Origin::Input(1)])
            .collect(),
    ];
    let neurons = [0..4, 4..7, 7..9];
    let layers: Vec<Seen> = seen
        .iter()
        .zip(neurons)
        .map(|(seen, neurons)| {
            let row = |neuron| (0..seen.len()).map(|at| weight(neuron, at)).collect();
            (
                origins(seen),
                neurons.map(|neuron| (neuron, row(neuron))).collect(),
            )
        })
        .collect();
    let mut expected = every_chain(&layers, 7);
    expected.extend(every_chain(&layers, 8));
    expected.sort_by(|a, b| b.0.total_cmp(&a.0));
    assert_eq!(expected.len(), 2 * (3 * 4 * 3 + 1));
    for top in [1, 5, expected.len(), expected.len() + 9] {
        let mut chains = Chains::new(top);
        for (origins, rows) in &layers {
            for (neuron, weights) in rows {
                chains.push(*neuron, origins, weights);
            }
        }
        let found = strongest(&chains, 7..9);
        assert_eq!(found.len(), top.min(expected.len()));
        for (found, (log, input, neurons)) in found.iter().zip(&expected) {
            assert!((found.strength.ln() - log).abs() < 1e-12, "{found:?}");
            assert_eq!((found.input, &found.neurons), (*input, neurons));
        }
    }
}

#[test]
fn signs_multiply_and_of_several_weights_from_one_origin_the_largest_counts() {
    let mut chains = Chains::new(3);
    let twice = [Origin::Input(4), Origin::Input(5), Origin::Input(4)];
    chains.push(0, &origins(&twice), &[0.5, 0.0, -2.0]);
    chains.push(1, &origins(&[Origin::Neuron(0)]), &[-3.0]);
    let expected = Chain {
        strength: 6.0,
        is_negative: false,
        input: 4,
        neurons: vec![0, 1],
    };
    assert_eq!(strongest(&chains, 1..2), [expected]);
}

#[test]
fn nothing_leads_through_what_is_zero_not_finite_or_not_known() {
    let mut chains = Chains::new(3);
    chains.push(0, &origins(&[Origin::Input(0)]), &[0.0]);
    chains.push(1, &origins(&[Origin::Input(0)]), &[f32::INFINITY]);
    chains.push(2, &Origins::new([None].into_iter()), &[1.0]);
    let all = [0, 1, 2, 3].map(Origin::Neuron);
    chains.push(4, &origins(&all), &[1.0; 4]);
    assert_eq!(strongest(&chains, 0..5), []);
    assert_eq!(chains.num_bytes_of_strongest(0..5), 0);
}

#[test]
fn a_product_that_no_float_can_hold_is_still_ranked() {
    let mut chains = Chains::new(2);
    chains.push(
        0,
        &origins(&[Origin::Input(0), Origin::Input(1)]),
        &[1.0, 2.0],
    );
    for neuron in 1..20 {
        chains.push(neuron, &origins(&[Origin::Neuron(neuron - 1)]), &[1e-30]);
    }
    let found = strongest(&chains, 19..20);
    assert_eq!(
        found.iter().map(|chain| chain.input).collect::<Vec<_>>(),
        [1, 0]
    );
}
