//! A matrix of numbers, a row each of some things.

/// Rows of one length, one after another.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rows {
    num_columns: usize,
    values: Vec<f64>,
    num_rows: usize,
}

impl Rows {
    /// `num_rows` rows of `values`, which are theirs one after another.
    pub fn new(num_rows: usize, num_columns: usize, values: Vec<f64>) -> Self {
        debug_assert_eq!(values.len(), num_rows * num_columns);
        Self {
            num_columns,
            values,
            num_rows,
        }
    }

    /// Adds a row of the length of those before.
    pub fn push(&mut self, row: &[f32]) {
        debug_assert!(self.num_rows == 0 || self.num_columns == row.len());
        self.num_columns = row.len();
        self.num_rows += 1;
        self.values.extend(row.iter().copied().map(f64::from));
    }

    /// The values, for whoever makes room for more of them.
    pub fn values_mut(&mut self) -> &mut Vec<f64> {
        &mut self.values
    }

    /// How many bytes the values take.
    pub fn num_bytes(&self) -> usize {
        self.values.capacity() * size_of::<f64>()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.num_rows == 0
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.num_rows
    }

    /// How long they are.
    pub fn num_columns(&self) -> usize {
        self.num_columns
    }

    /// The row at a place.
    pub fn row(&self, index: usize) -> &[f64] {
        &self.values[index * self.num_columns..][..self.num_columns]
    }

    /// All values, row after row.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// Takes off each row's mean.
    pub fn center_rows(&mut self) {
        if self.num_columns == 0 {
            return;
        }
        for row in self.values.chunks_exact_mut(self.num_columns) {
            let mean = row.iter().sum::<f64>() / row.len() as f64;
            row.iter_mut().for_each(|value| *value -= mean);
        }
    }

    /// The first `num_columns` of each row.
    pub fn first_columns(mut self, num_columns: usize) -> Self {
        if num_columns < self.num_columns {
            let rows = (0..self.num_rows).flat_map(|row| &self.row(row)[..num_columns]);
            self.values = rows.copied().collect();
            self.num_columns = num_columns;
        }
        self
    }

    /// Columns as rows.
    pub fn transposed(&self) -> Self {
        let mut values = Vec::with_capacity(self.values.len());
        for column in 0..self.num_columns {
            values.extend((0..self.num_rows).map(|row| self.row(row)[column]));
        }
        Self::new(self.num_columns, self.num_rows, values)
    }
}
