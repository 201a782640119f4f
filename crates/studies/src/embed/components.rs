//! Principal components from epoch to epoch.

use analysis::Rows;

/// Components with the signs that put them nearer to where they were.
pub(super) fn with_signs_of(components: &Rows, before: &Rows) -> Rows {
    let num_columns = components.num_columns();
    let mut values = components.values().to_vec();
    for column in 0..num_columns {
        let places = |rows: &Rows, point: usize| rows.row(point)[column];
        let along: f64 = (0..components.len())
            .map(|point| places(components, point) * places(before, point))
            .sum();
        if along < 0.0 {
            let column = values.iter_mut().skip(column).step_by(num_columns);
            column.for_each(|value| *value = -*value);
        }
    }
    Rows::new(components.len(), num_columns, values)
}

/// How much of the points' variance each of some components has; none where points do not vary.
pub(super) fn variance_shares(points: &Rows, components: &Rows) -> Option<Vec<f64>> {
    let squares = |rows: &Rows| -> Vec<f64> {
        let mut columns = rows.transposed();
        columns.center_rows();
        let of = |column: usize| columns.row(column).iter().map(|x| x * x).sum();
        (0..columns.len()).map(of).collect()
    };
    let total: f64 = squares(points).iter().sum();
    let shares = squares(components).into_iter().map(|part| part / total);
    (total > 0.0).then(|| shares.collect())
}
