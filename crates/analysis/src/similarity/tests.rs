use super::*;

fn rows(all: &[&[f32]]) -> Rows {
    let mut rows = Rows::default();
    all.iter().for_each(|row| rows.push(row));
    rows
}

fn assert_near(found: Option<f64>, expected: f64) {
    let found = found.unwrap();
    assert!((found - expected).abs() < 1e-12, "{found}, not {expected}");
}

#[test]
fn alignment_of_single_neurons_is_their_squared_correlation() {
    // Deviations -1, 0, 1 and -2, -1, 3: 25 / (2 * 14).
    let alignment = linear_cka(rows(&[&[0.0, 1.0, 2.0]]), rows(&[&[0.0, 1.0, 5.0]]));
    assert_near(alignment, 25.0 / 28.0);
}

#[test]
fn alignment_knows_no_rotation_scale_or_shift() {
    let a = [[0.0, 1.0, 2.0, 5.0], [3.0, -1.0, 0.5, 0.25]];
    // (x, y) becomes 2 (y, -x) + 1.
    let turned: [[f32; 4]; 2] = [a[1].map(|y| 2.0 * y + 1.0), a[0].map(|x| -2.0 * x + 1.0)];
    let alignment = linear_cka(rows(&[&a[0], &a[1]]), rows(&[&turned[0], &turned[1]]));
    assert_near(alignment, 1.0);
}

#[test]
fn neurons_and_samples_give_the_same() {
    let value = |i: usize, j: usize, salt: usize| ((i * 53 + j * 29 + salt) % 31) as f32;
    let layer = |num_neurons: usize, salt| {
        let mut rows = Rows::default();
        for i in 0..num_neurons {
            let row: Vec<f32> = (0..6).map(|j| value(i, j, salt)).collect();
            rows.push(&row);
        }
        rows.center_rows();
        rows
    };
    let (a, b) = (layer(9, 3), layer(11, 17));
    let by_neurons = [(&a, &a), (&b, &b), (&a, &b)].map(|(a, b)| squared_products(a, b));
    let by_samples = of_sample_kernels(&a.transposed(), &b.transposed());
    for (one, other) in by_neurons.iter().zip(by_samples) {
        assert!((one - other).abs() < 1e-9 * one, "{one}, {other}");
    }
}

#[test]
fn what_does_not_vary_or_is_not_finite_is_aligned_with_nothing() {
    let varies = || rows(&[&[0.0, 1.0, 2.0]]);
    assert_eq!(linear_cka(varies(), rows(&[&[3.0; 3], &[0.0; 3]])), None);
    assert_eq!(linear_cka(rows(&[&[0.0, f32::NAN, 1.0]]), varies()), None);
    assert_eq!(linear_cka(Rows::default(), Rows::default()), None);
}

#[test]
fn distance_is_relative_to_the_first() {
    let (a, b) = (rows(&[&[3.0, 4.0]]), rows(&[&[3.0, 2.0]]));
    assert_near(relative_distance(&a, &b), 2.0 / 5.0);
    assert_near(relative_distance(&b, &a), 2.0 / 13f64.sqrt());
    assert_eq!(relative_distance(&rows(&[&[0.0]]), &rows(&[&[1.0]])), None);
    assert_eq!(relative_distance(&a, &rows(&[&[f32::INFINITY, 0.0]])), None);
}
