use super::*;

/// Numbers that look random, around 0, in multiples of 2⁻¹⁶.
fn noise(rng: &mut KeyedRng, len: usize) -> Vec<f32> {
    let uniform = |rng: &mut KeyedRng| (rng.next_u32() >> 16) as f32 / 65_536.0;
    (0..len)
        .map(|_| uniform(rng) + uniform(rng) - 1.0)
        .collect()
}

/// Sixty samples of four classes, one of them rare, which no value has to do with.
fn membership() -> Membership {
    let class = |sample: u32| if sample < 4 { 3 } else { sample % 3 };
    let classes: Vec<Option<u32>> = (0..60).map(|sample| Some(class(sample))).collect();
    Membership::new(&classes, 5)
}

/// The smallest corrected p-value of each neuron.
fn least_p_values(
    measure: Measure,
    membership: &Membership,
    neurons: &[Vec<f32>],
    seed: u64,
) -> Vec<f64> {
    let mut scorer = Scorer::new(membership);
    let mut candidates = Candidates::new(measure, membership.num_samples());
    let mut largest = Vec::new();
    for neuron in neurons {
        let scores = scorer.score(neuron).iter().zip(membership.counts());
        let statistics = scores.map(|(scores, count)| {
            scores.as_ref().map_or(0.0, |scores| {
                measure.statistic(measure.score(scores), *count, membership.num_samples())
            })
        });
        largest.push(statistics.fold(0.0, f64::max));
        candidates.push(&scorer);
    }
    let mut maxima = NullMaxima::new(measure, 99, seed);
    maxima.add(membership, &candidates, 2);
    let p_values = maxima.p_values();
    let p_value = |statistic| p_values.of(statistic).expect("there are permutations");
    largest.into_iter().map(p_value).collect()
}

/// 40 neurons of noise and four classes: 160 comparisons, of which at a level of 0.05 about eight
/// would be found without the correction, in every set of neurons.
#[test]
fn noise_is_called_noise() {
    let membership = membership();
    for measure in Measure::ALL {
        let found = (0..100).filter(|&seed| {
            let mut rng = KeyedRng::new([seed, 1000, 0, 0]);
            let neurons: Vec<Vec<f32>> = (0..40).map(|_| noise(&mut rng, 60)).collect();
            let p_values = least_p_values(measure, &membership, &neurons, seed);
            p_values.into_iter().any(|p_value| p_value < 0.05)
        });
        // Of a binomial with n = 100 and p = 0.05, four in ten thousand are above 13.
        let found = found.count();
        assert!(found <= 13, "{measure:?}: {found} sets of noise in 100");
    }
}

#[test]
fn what_is_there_is_found() {
    let membership = membership();
    for measure in Measure::ALL {
        for seed in 0..20 {
            let mut rng = KeyedRng::new([seed, 1001, 0, 0]);
            let mut neurons: Vec<Vec<f32>> = (0..40).map(|_| noise(&mut rng, 60)).collect();
            for (value, class) in neurons[7].iter_mut().zip(membership.classes()) {
                *value += if *class == 1 { 1.5 } else { 0.0 };
            }
            let p_values = least_p_values(measure, &membership, &neurons, seed);
            assert_eq!(p_values[7], 0.01, "{measure:?}, seed {seed}");
        }
    }
}

/// Against the definition: permute classes, score every neuron anew, take the largest.
#[test]
fn maxima_are_those_of_scores_of_permuted_classes() {
    let membership = membership();
    let num_samples = membership.num_samples();
    let mut rng = KeyedRng::new([5, 1002, 0, 0]);
    // More than fit side by side; one with many ties, one that is constant.
    let mut neurons: Vec<Vec<f32>> = (0..LANES + 3).map(|_| noise(&mut rng, 60)).collect();
    neurons[2]
        .iter_mut()
        .for_each(|value| *value = value.max(0.0));
    neurons[4].fill(0.25);
    for measure in Measure::ALL {
        let mut scorer = Scorer::new(&membership);
        let mut candidates = Candidates::new(measure, num_samples);
        for neuron in &neurons {
            scorer.score(neuron);
            candidates.push(&scorer);
        }
        assert_eq!(candidates.num_neurons, neurons.len() - 1);
        let mut maxima = NullMaxima::new(measure, 70, 11);
        maxima.add(&membership, &candidates, 3);

        for (number, maximum) in maxima.maxima.iter().enumerate() {
            let mut classes = membership.classes().to_vec();
            KeyedRng::new([11, PURPOSE, number as u64, 0]).shuffle(&mut classes);
            let classes: Vec<Option<u32>> = classes.into_iter().map(Some).collect();
            let permuted = Membership::new(&classes, membership.num_classes());
            let mut scorer = Scorer::new(&permuted);
            let mut largest = 0.0_f64;
            for neuron in &neurons {
                for (scores, count) in scorer.score(neuron).iter().zip(permuted.counts()) {
                    let Some(scores) = scores else { continue };
                    let score = measure.score(scores);
                    largest = largest.max(measure.statistic(score, *count, num_samples));
                }
            }
            let difference = (maximum - largest).abs();
            assert!(difference < 1e-12, "{measure:?}: {maximum}, not {largest}");
        }
    }
}

#[test]
fn threads_change_nothing() {
    let membership = membership();
    let mut rng = KeyedRng::new([6, 1003, 0, 0]);
    let mut scorer = Scorer::new(&membership);
    let mut candidates = Candidates::new(Measure::Correlation, membership.num_samples());
    for _ in 0..40 {
        scorer.score(&noise(&mut rng, 60));
        candidates.push(&scorer);
    }
    let maxima_of = |num_threads| {
        let mut maxima = NullMaxima::new(Measure::Correlation, 130, 1);
        maxima.add(&membership, &candidates, num_threads);
        maxima.maxima
    };
    assert_eq!(maxima_of(1), maxima_of(4));
    // More threads than permutations.
    assert_eq!(maxima_of(1), maxima_of(200));
}

#[test]
fn p_values_count_the_permutations_that_reach_a_score() {
    let maxima = |maxima: &[f64]| {
        NullMaxima {
            measure: Measure::Correlation,
            seed: 0,
            maxima: maxima.to_vec(),
        }
        .p_values()
    };
    let p_values = maxima(&[0.5, 0.25, 0.75, 0.5]);
    assert_eq!(p_values.of(0.1), Some(1.0));
    // A tie reaches it, also if it was summed up in another order.
    assert_eq!(p_values.of(0.5), Some(0.8));
    assert_eq!(p_values.of(0.5 + 1e-16), Some(0.8));
    assert_eq!(p_values.of(0.6), Some(0.4));
    assert_eq!(p_values.of(0.9), Some(0.2));
    assert_eq!(maxima(&[]).of(0.9), None);
}
