use super::*;

fn standardized(series: &[&[f32]]) -> Standardized {
    let mut all = Standardized::default();
    series.iter().for_each(|series| all.push(series));
    all
}

fn pair(a: usize, b: usize, correlation: Option<f64>) -> Pair {
    Pair { a, b, correlation }
}

#[test]
fn pairs_are_ranked_by_amount_and_what_is_constant_comes_last() {
    // Of 0, 1, 2 and 0, 1, 5: deviations -1, 0, 1 and -2, -1, 3, so 5 / sqrt(2 * 14).
    let pairs = standardized(&[
        &[0.0, 1.0, 2.0],
        &[7.0, 7.0, 7.0],
        &[4.0, 2.0, 0.0],
        &[0.0, 1.0, 5.0],
        &[0.0, f32::NAN, 1.0],
    ])
    .top_pairs(6);
    let places: Vec<(usize, usize)> = pairs.iter().map(|pair| (pair.a, pair.b)).collect();
    assert_eq!(places, [(0, 2), (0, 3), (2, 3), (0, 1), (0, 4), (1, 2)]);
    let expected = 5.0 / 28f64.sqrt();
    for (pair, expected) in pairs.iter().zip([-1.0, expected, -expected]) {
        assert!(
            (pair.correlation.unwrap() - expected).abs() < 1e-15,
            "{pair:?}"
        );
    }
    assert!(pairs[3..].iter().all(|pair| pair.correlation.is_none()));
}

#[test]
fn blocks_miss_no_pair_and_count_none_twice() {
    // Enough for several blocks, the last of them not full.
    let series: Vec<Vec<f32>> = (0..3 * BLOCK + 5)
        .map(|i| (0..7).map(|j| ((i * 31 + j * 17) % 23) as f32).collect())
        .collect();
    let views: Vec<&[f32]> = series.iter().map(Vec::as_slice).collect();
    let all = standardized(&views);
    let mut expected: Vec<Ranked> = Vec::new();
    for a in 0..all.len() {
        for b in a + 1..all.len() {
            let correlation = dot(all.series(a), all.series(b)).clamp(-1.0, 1.0);
            expected.push(Ranked { a, b, correlation });
        }
    }
    expected.sort_unstable_by(|a, b| b.cmp(a));
    for top in [1, 10, expected.len(), expected.len() + 1] {
        let expected = expected.iter().take(top).map(|ranked| ranked.pair());
        assert_eq!(all.top_pairs(top), expected.collect::<Vec<_>>());
    }
}

#[test]
fn of_one_series_or_none_there_is_no_pair() {
    assert_eq!(standardized(&[]).top_pairs(3), []);
    assert_eq!(standardized(&[&[1.0, 2.0]]).top_pairs(3), []);
    assert_eq!(
        standardized(&[&[], &[]]).top_pairs(3),
        [pair(0, 1, None)],
        "empty series are constant"
    );
}
