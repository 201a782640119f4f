//! From a parameter tensor as a framework keeps it to a trace's rows, one a unit.

/// Along which axis a parameter tensor's units lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Along axis 0, `[units, ...]`: rows as they are. Convolutions, embeddings (a unit is a
    /// token), and whatever is not known better.
    Rows,
    /// `[in, units]`: Burn's linear layers.
    Columns,
    /// `[in, units / groups, ...]`: transposed convolutions. The inputs of a group make the units
    /// of that group.
    ByGroup {
        /// How many groups.
        groups: usize,
    },
}

/// A parameter tensor as rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitRows {
    layout: Layout,
    /// The framework's shape.
    shape: Vec<usize>,
}

impl UnitRows {
    /// Rows of a tensor of that shape.
    ///
    /// # Panics
    /// If it has no such layout.
    pub fn new(layout: Layout, shape: Vec<usize>) -> Self {
        let fits = match layout {
            Layout::Rows => true,
            Layout::Columns => shape.len() == 2,
            Layout::ByGroup { groups } => {
                shape.len() >= 2 && groups > 0 && shape[0].is_multiple_of(groups)
            }
        };
        assert!(fits, "{layout:?} of a tensor of shape {shape:?}");
        Self { layout, shape }
    }

    /// The framework's shape.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The same tensor's shape in PyTorch's layout.
    pub fn pytorch_shape(&self) -> Vec<u64> {
        let mut shape: Vec<u64> = self.shape.iter().map(|&size| size as u64).collect();
        if self.layout == Layout::Columns {
            shape.reverse();
        }
        shape
    }

    /// How many rows there are. A scalar is one unit.
    pub fn num_units(&self) -> usize {
        match self.layout {
            Layout::Rows => self.shape.first().copied().unwrap_or(1),
            Layout::Columns => self.shape[1],
            Layout::ByGroup { groups } => self.shape[1] * groups,
        }
    }

    /// How long a row is.
    pub fn fan_in(&self) -> usize {
        match self.layout {
            Layout::Rows => self.shape.iter().skip(1).product(),
            Layout::Columns => self.shape[0],
            Layout::ByGroup { groups } => {
                self.shape[0] / groups * self.shape[2..].iter().product::<usize>()
            }
        }
    }

    /// Whether the framework's order is a row a unit already, so that [`UnitRows::to_rows`] copies nothing.
    pub(crate) fn is_by_unit(&self) -> bool {
        self.layout == Layout::Rows
    }

    /// Turns values in the framework's order into rows `[num_units, fan_in]`.
    ///
    /// # Panics
    /// If they are not as many as the shape says.
    pub fn to_rows(&self, values: Vec<f32>) -> Vec<f32> {
        match self.layout {
            Layout::Rows => values,
            Layout::Columns => transpose(&values, self.shape[0], self.shape[1]),
            Layout::ByGroup { groups } => self.by_group(groups, &values),
        }
    }

    /// The rows of some units, which ascend, of values in the framework's order.
    ///
    /// # Panics
    /// If the values are not as many as the shape says, or there is no such unit.
    pub(crate) fn rows_of(&self, values: &[f32], units: &[u32]) -> Vec<f32> {
        let fan_in = self.fan_in();
        let mut rows = Vec::new();
        match self.layout {
            Layout::Rows => {
                rows.reserve_exact(units.len() * fan_in);
                for &unit in units {
                    rows.extend_from_slice(&values[unit as usize * fan_in..][..fan_in]);
                }
            }
            Layout::Columns => {
                let [num_inputs, num_units] = [self.shape[0], self.shape[1]];
                transpose_columns_into(&mut rows, values, num_inputs, num_units, units);
            }
            Layout::ByGroup { groups } => {
                rows.resize(units.len() * fan_in, 0.0);
                for (from, to, kernel) in kernels_of(&self.shape, groups, units) {
                    rows[to..][..kernel].copy_from_slice(&values[from..][..kernel]);
                }
            }
        }
        rows
    }

    /// Kernel by kernel.
    fn by_group(&self, groups: usize, values: &[f32]) -> Vec<f32> {
        let mut rows = vec![0.0; values.len()];
        for (from, to, kernel) in kernels(&self.shape, groups) {
            rows[to..][..kernel].copy_from_slice(&values[from..][..kernel]);
        }
        rows
    }
}

/// Turns a transposed convolution's rows back into a tensor `[in, units / groups, ...]`, which is
/// both Burn's layout and PyTorch's.
///
/// # Panics
/// If they are not as many values as the shape says, or it has no such groups.
pub fn from_group_rows(shape: &[usize], groups: usize, rows: &[f32]) -> Vec<f32> {
    let mut values = vec![0.0; rows.len()];
    for (to, from, kernel) in kernels(shape, groups) {
        values[to..][..kernel].copy_from_slice(&rows[from..][..kernel]);
    }
    values
}

/// Where each kernel of a transposed convolution starts in its tensor, where in its rows, and how
/// long it is.
fn kernels(shape: &[usize], groups: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    let [num_inputs, units_per_group] = [shape[0], shape[1]];
    let kernel: usize = shape[2..].iter().product();
    let inputs_per_group = num_inputs / groups;
    (0..num_inputs).flat_map(move |input| {
        let (group, input_of_group) = (input / inputs_per_group, input % inputs_per_group);
        (0..units_per_group).map(move |unit_of_group| {
            let unit = group * units_per_group + unit_of_group;
            let in_tensor = (input * units_per_group + unit_of_group) * kernel;
            let in_rows = (unit * inputs_per_group + input_of_group) * kernel;
            (in_tensor, in_rows, kernel)
        })
    })
}

/// As [`kernels`], of some units, which ascend, and their rows: no other unit's kernel is looked at, so that the parts of
/// a layer that is split take together what the layer does. Units of one group come input by input, as they lie.
fn kernels_of<'a>(
    shape: &[usize],
    groups: usize,
    units: &'a [u32],
) -> impl Iterator<Item = (usize, usize, usize)> + use<'a> {
    let [num_inputs, units_per_group] = [shape[0], shape[1]];
    let kernel: usize = shape[2..].iter().product();
    let inputs_per_group = num_inputs / groups;
    let group_of = move |unit: u32| unit as usize / units_per_group;
    let chunks = units.chunk_by(move |one, other| group_of(*one) == group_of(*other));
    let places = chunks.scan(0, |next, chunk| {
        let first = *next;
        *next += chunk.len();
        Some((first, chunk))
    });
    places.flat_map(move |(first, chunk)| {
        let group = group_of(chunk[0]);
        (0..inputs_per_group).flat_map(move |input_of_group| {
            let input = group * inputs_per_group + input_of_group;
            chunk.iter().enumerate().map(move |(place, &unit)| {
                let unit_of_group = unit as usize % units_per_group;
                let in_tensor = (input * units_per_group + unit_of_group) * kernel;
                let in_rows = ((first + place) * inputs_per_group + input_of_group) * kernel;
                (in_tensor, in_rows, kernel)
            })
        })
    })
}

/// Rows and columns of a block: 16 floats are a cache line, and a block of both sides fits into
/// the smallest of first-level caches.
const BLOCK: usize = 32;

/// Transposes a row-major matrix block by block, so that neither side is walked against the grain
/// of the cache.
///
/// # Panics
/// If `matrix` has not `num_rows * num_columns` values.
pub fn transpose(matrix: &[f32], num_rows: usize, num_columns: usize) -> Vec<f32> {
    let mut transposed = Vec::new();
    transpose_into(&mut transposed, matrix, num_rows, num_columns);
    transposed
}

/// As [`transpose`], into memory that may have been used before; what was in it is gone.
pub(crate) fn transpose_into(
    transposed: &mut Vec<f32>,
    matrix: &[f32],
    num_rows: usize,
    num_columns: usize,
) {
    assert_eq!(matrix.len(), num_rows * num_columns, "a whole matrix");
    make_long(transposed, matrix.len());
    for first_row in (0..num_rows).step_by(BLOCK) {
        let rows = first_row..num_rows.min(first_row + BLOCK);
        for first_column in (0..num_columns).step_by(BLOCK) {
            for column in first_column..num_columns.min(first_column + BLOCK) {
                let to = &mut transposed[column * num_rows..][rows.clone()];
                for (value, row) in to.iter_mut().zip(rows.clone()) {
                    *value = matrix[row * num_columns + column];
                }
            }
        }
    }
}

/// As [`transpose_into`], of some of the columns, in their order.
pub(crate) fn transpose_columns_into(
    transposed: &mut Vec<f32>,
    matrix: &[f32],
    num_rows: usize,
    num_columns: usize,
    columns: &[u32],
) {
    assert_eq!(matrix.len(), num_rows * num_columns, "a whole matrix");
    make_long(transposed, num_rows * columns.len());
    for first_row in (0..num_rows).step_by(BLOCK) {
        let rows = first_row..num_rows.min(first_row + BLOCK);
        for (nth, &column) in columns.iter().enumerate() {
            let to = &mut transposed[nth * num_rows..][rows.clone()];
            for (value, row) in to.iter_mut().zip(rows.clone()) {
                *value = matrix[row * num_columns + column as usize];
            }
        }
    }
}

/// Gives memory so many values, whatever they are: all of them are written.
fn make_long(memory: &mut Vec<f32>, len: usize) {
    if memory.capacity() < len {
        // Cleared by the system where it is new.
        *memory = vec![0.0; len];
    } else {
        memory.resize(len, 0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 0, 1, 2, ...: a value's number in Burn's order.
    fn numbered(shape: &[usize]) -> Vec<f32> {
        (0..shape.iter().product())
            .map(|n: usize| n as f32)
            .collect()
    }

    fn rows(layout: Layout, shape: &[usize]) -> (usize, usize, Vec<f32>) {
        let rows = UnitRows::new(layout, shape.to_vec());
        (
            rows.num_units(),
            rows.fan_in(),
            rows.to_rows(numbered(shape)),
        )
    }

    #[test]
    fn a_linear_layer_is_transposed() {
        let expected = vec![0.0, 3.0, 1.0, 4.0, 2.0, 5.0];
        assert_eq!(rows(Layout::Columns, &[2, 3]), (3, 2, expected));
        let linear = UnitRows::new(Layout::Columns, vec![2, 3]);
        assert_eq!(linear.pytorch_shape(), [3, 2]);
    }

    #[test]
    fn anything_else_is_flattened_behind_axis_0() {
        assert_eq!(rows(Layout::Rows, &[2, 1, 2, 2]), (2, 4, numbered(&[8])));
        assert_eq!(rows(Layout::Rows, &[3]), (3, 1, numbered(&[3])));
        assert_eq!(rows(Layout::Rows, &[]), (1, 1, numbered(&[1])));
        let convolution = UnitRows::new(Layout::Rows, vec![2, 1, 2, 2]);
        assert_eq!(convolution.pytorch_shape(), [2, 1, 2, 2]);
    }

    #[test]
    fn a_transposed_convolution_goes_by_group() {
        // Two groups of two inputs, each makes one unit, kernels of two values: unit 0 hears
        // inputs 0 and 1, unit 1 inputs 2 and 3.
        assert_eq!(
            rows(Layout::ByGroup { groups: 2 }, &[4, 1, 2]),
            (2, 4, numbered(&[8]))
        );
        // One group: unit 0 hears kernels 0 and 2, unit 1 kernels 1 and 3.
        let expected = vec![0.0, 1.0, 4.0, 5.0, 2.0, 3.0, 6.0, 7.0];
        assert_eq!(
            rows(Layout::ByGroup { groups: 1 }, &[2, 2, 2]),
            (2, 4, expected)
        );
    }

    #[test]
    fn a_transposed_convolutions_rows_become_its_tensor_again() {
        for (shape, groups) in [([6, 2, 3], 3), ([6, 2, 3], 1), ([4, 5, 1], 2)] {
            let (_, _, rows) = rows(Layout::ByGroup { groups }, &shape);
            assert_eq!(from_group_rows(&shape, groups, &rows), numbered(&shape));
        }
    }

    #[test]
    fn rows_of_some_units_are_those_among_all() {
        for (layout, shape) in [
            (Layout::Rows, &[7, 3, 2][..]),
            (Layout::Columns, &[70, 45]),
            (Layout::ByGroup { groups: 2 }, &[4, 3, 2]),
            (Layout::ByGroup { groups: 1 }, &[6, 5, 3]),
        ] {
            let rows = UnitRows::new(layout, shape.to_vec());
            let all = rows.to_rows(numbered(shape));
            let (num_units, fan_in) = (rows.num_units() as u32, rows.fan_in());
            for units in [0..num_units, 1..3, num_units - 1..num_units, 2..2] {
                let expected = &all[units.start as usize * fan_in..units.end as usize * fan_in];
                let units: Vec<u32> = units.collect();
                assert_eq!(
                    rows.rows_of(&numbered(shape), &units),
                    expected,
                    "{layout:?}"
                );
            }
            let ends = [&all[..fan_in], &all[all.len() - fan_in..]].concat();
            assert_eq!(rows.rows_of(&numbered(shape), &[0, num_units - 1]), ends);
        }
    }

    #[test]
    fn parts_of_a_transposed_convolution_take_together_what_it_does() {
        for (shape, groups) in [
            (&[6, 4, 3][..], 3),
            (&[6, 5, 2, 2], 2),
            (&[3, 7], 1),
            (&[4, 1, 3], 4),
            (&[2, 3, 0], 1),
        ] {
            let rows = UnitRows::new(Layout::ByGroup { groups }, shape.to_vec());
            let (num_units, fan_in) = (rows.num_units() as u32, rows.fan_in());
            let all = rows.to_rows(numbered(shape));
            let num_kernels = kernels(shape, groups).count();
            // Parts end within groups and at their ends, and have units of several.
            for length in 1..=num_units {
                let (mut of_parts, mut num_of_parts) = (Vec::new(), 0);
                for first in (0..num_units).step_by(length as usize) {
                    let units: Vec<u32> = (first..num_units.min(first + length)).collect();
                    of_parts.extend(rows.rows_of(&numbered(shape), &units));
                    num_of_parts += kernels_of(shape, groups, &units).count();
                }
                assert_eq!(of_parts, all, "{shape:?} in parts of {length}");
                assert_eq!(num_of_parts, num_kernels, "{shape:?} in parts of {length}");
            }
            // Of units that were chosen, some groups have none.
            let every_third: Vec<u32> = (0..num_units).step_by(3).collect();
            let expected = every_third.iter();
            let expected = expected.flat_map(|&unit| &all[unit as usize * fan_in..][..fan_in]);
            let expected: Vec<f32> = expected.copied().collect();
            assert_eq!(rows.rows_of(&numbered(shape), &every_third), expected);
        }
    }

    #[test]
    fn blocks_of_a_large_matrix_meet() {
        let (units, fan_in, values) = rows(Layout::Columns, &[70, 45]);
        assert_eq!((units, fan_in), (45, 70));
        assert_eq!(values[44 * 70 + 69], 69.0 * 45.0 + 44.0);
        assert_eq!(values[70 + 2], 2.0 * 45.0 + 1.0);
    }

    #[test]
    #[should_panic(expected = "Columns of a tensor of shape [2]")]
    fn a_shape_without_such_a_layout_is_a_bug() {
        UnitRows::new(Layout::Columns, vec![2]);
    }

    #[test]
    fn rows_are_the_columns_of_the_other_layout() {
        assert_eq!(
            transpose(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 2, 3),
            [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]
        );
        // Sizes around the blocks' edges.
        for (fan_in, num_units) in [(1, 1), (1, 70), (70, 1), (31, 33), (32, 64), (65, 97)] {
            let weight: Vec<f32> = (0..fan_in * num_units).map(|i| i as f32).collect();
            let rows = transpose(&weight, fan_in, num_units);
            for unit in 0..num_units {
                for input in 0..fan_in {
                    assert_eq!(
                        rows[unit * fan_in + input],
                        weight[input * num_units + unit]
                    );
                }
            }
            let every_third: Vec<u32> = (0..num_units as u32).step_by(3).collect();
            let expected = every_third
                .iter()
                .flat_map(|&unit| &rows[unit as usize * fan_in..][..fan_in]);
            let expected: Vec<f32> = expected.copied().collect();
            // What memory held before is gone.
            for mut some in [Vec::new(), vec![-1.0; 2 * rows.len()]] {
                transpose_columns_into(&mut some, &weight, fan_in, num_units, &every_third);
                assert_eq!(some, expected);
            }
        }
    }
}
