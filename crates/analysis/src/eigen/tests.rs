use super::*;

/// Symmetric, of numbers that look like chance.
fn matrix(size: usize) -> Rows {
    let number = |i: usize, j: usize| {
        let (i, j) = (i.min(j), i.max(j));
        ((i * 7919 + j * 104_729 + i * j * 31) % 1009) as f64 / 504.5 - 1.0
    };
    let values = (0..size).flat_map(|i| (0..size).map(move |j| number(i, j)));
    Rows::new(size, size, values.collect())
}

#[test]
fn of_two_by_two_they_are_known() {
    let (values, vectors) = symmetric_eigen(&Rows::new(2, 2, vec![2.0, 1.0, 1.0, 2.0]));
    assert!((values[0] - 3.0).abs() < 1e-15 && (values[1] - 1.0).abs() < 1e-15);
    let half = 0.5f64.sqrt();
    assert!((vectors.row(0)[0].abs() - half).abs() < 1e-15);
    assert!((vectors.row(0)[0] - vectors.row(0)[1]).abs() < 1e-15);
    assert!((vectors.row(1)[0] + vectors.row(1)[1]).abs() < 1e-15);
}

#[test]
fn vectors_are_stretched_by_their_values_and_are_at_right_angles() {
    for size in [1, 2, 3, 10, 61] {
        let matrix = matrix(size);
        let (values, vectors) = symmetric_eigen(&matrix);
        assert!(values.is_sorted_by(|a, b| a >= b), "{values:?}");
        for (i, value) in values.iter().enumerate() {
            for (row, x) in vectors.row(i).iter().enumerate() {
                let stretched = dot(matrix.row(row), vectors.row(i));
                assert!((stretched - value * x).abs() < 1e-11 * size as f64);
            }
            for j in 0..=i {
                let expected = f64::from(u8::from(i == j));
                let product = dot(vectors.row(i), vectors.row(j));
                assert!(
                    (product - expected).abs() < 1e-12 * size as f64,
                    "{product}"
                );
            }
        }
    }
}

#[test]
fn values_that_are_the_same_and_zeros_are_no_hindrance() {
    // A matrix of ones has its size as a value, and 0.
    let (values, _) = symmetric_eigen(&Rows::new(5, 5, vec![1.0; 25]));
    assert!((values[0] - 5.0).abs() < 1e-14);
    assert!(values[1..].iter().all(|value| value.abs() < 1e-14));
    let (values, vectors) = symmetric_eigen(&Rows::new(3, 3, vec![0.0; 9]));
    assert_eq!(values, [0.0; 3]);
    assert_eq!(vectors.len(), 3);
    let diagonal = vec![4.0, 0.0, 0.0, 0.0, 9.0, 0.0, 0.0, 0.0, 4.0];
    assert_eq!(
        symmetric_eigen(&Rows::new(3, 3, diagonal)).0,
        [9.0, 4.0, 4.0]
    );
    let (values, _) = symmetric_eigen(&Rows::default());
    assert!(values.is_empty());
}
