//! Sums over lists of numbers, in `f64`, as fast as they can be read.

/// Whether all elements of a list are the same. Asked of the elements, since rounding of the mean can
/// give a constant list a spread.
pub fn is_constant<V: Copy + PartialEq>(list: &[V]) -> bool {
    list.array_windows().all(|[a, b]| a == b)
}

/// The dot product of two lists of the same length.
pub fn dot<V: Copy + Into<f64>>(a: &[V], b: &[V]) -> f64 {
    sum_over(a, b, |x, y| x * y)
}

/// The sum of `term` over two lists of the same length. Eight sums run side by side: a single one
/// would have to be added up in order, which no compiler may turn into vector instructions.
#[inline]
pub fn sum_over<V: Copy + Into<f64>>(a: &[V], b: &[V], term: impl Fn(f64, f64) -> f64) -> f64 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let mut sums = [0.0; 8];
    for (a, b) in a.iter().zip(b) {
        for (sum, (&x, &y)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += term(x.into(), y.into());
        }
    }
    let rest: f64 = a_rest
        .iter()
        .zip(b_rest)
        .map(|(&x, &y)| term(x.into(), y.into()))
        .sum();
    sums.iter().sum::<f64>() + rest
}
