//! What a network should have said of samples.

/// What the network should have said.
#[derive(Debug, Clone, PartialEq)]
pub enum Targets {
    /// One class a sample, from 0.
    Classes(Vec<i32>),
    /// One probability a sample.
    Soft(Vec<f32>),
    /// Several probabilities a sample, each by itself.
    Labels(TargetRows),
    /// Numbers to come close to.
    Values(TargetRows),
}

/// Targets of which a sample has several, or may.
#[derive(Debug, Clone, PartialEq)]
pub struct TargetRows {
    /// Row-major `[num_samples, width]`.
    pub values: Vec<f32>,
    /// How many a sample has, at least 1.
    pub width: usize,
}

impl TargetRows {
    /// How many samples they belong to.
    pub fn len(&self) -> usize {
        self.values.len() / self.width
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    fn select(&self, rows: &[usize]) -> Self {
        let row = |&row: &usize| &self.values[row * self.width..][..self.width];
        Self {
            values: rows.iter().flat_map(row).copied().collect(),
            width: self.width,
        }
    }

    fn split_off(&mut self, at: usize) -> Self {
        Self {
            values: self.values.split_off(at * self.width),
            width: self.width,
        }
    }
}

impl Targets {
    /// How many samples they belong to.
    pub fn len(&self) -> usize {
        match self {
            Self::Classes(classes) => classes.len(),
            Self::Soft(probabilities) => probabilities.len(),
            Self::Labels(rows) | Self::Values(rows) => rows.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that they hold.
    pub(crate) fn num_bytes(&self) -> u64 {
        let num_values = match self {
            Self::Classes(classes) => classes.capacity(),
            Self::Soft(values)
            | Self::Labels(TargetRows { values, .. })
            | Self::Values(TargetRows { values, .. }) => values.capacity(),
        };
        // Numbers of 32 bits, whatever they are.
        (num_values * size_of::<f32>()) as u64
    }

    /// Those of some samples, in that order.
    ///
    /// # Panics
    /// If there is no such sample.
    pub fn select(&self, rows: &[usize]) -> Self {
        match self {
            Self::Classes(classes) => Self::Classes(rows.iter().map(|&r| classes[r]).collect()),
            Self::Soft(soft) => Self::Soft(rows.iter().map(|&r| soft[r]).collect()),
            Self::Labels(labels) => Self::Labels(labels.select(rows)),
            Self::Values(values) => Self::Values(values.select(rows)),
        }
    }

    /// Keeps those of the first `at` samples, and gives the others.
    ///
    /// # Panics
    /// If there are not as many.
    pub fn split_off(&mut self, at: usize) -> Self {
        match self {
            Self::Classes(classes) => Self::Classes(classes.split_off(at)),
            Self::Soft(soft) => Self::Soft(soft.split_off(at)),
            Self::Labels(labels) => Self::Labels(labels.split_off(at)),
            Self::Values(values) => Self::Values(values.split_off(at)),
        }
    }

    fn append(&mut self, other: Self) {
        match (self, other) {
            (Self::Classes(all), Self::Classes(more)) => all.extend(more),
            (Self::Soft(all), Self::Soft(more)) => all.extend(more),
            (Self::Labels(all), Self::Labels(more)) | (Self::Values(all), Self::Values(more)) => {
                all.values.extend(more.values);
            }
            _ => unreachable!("a data set has one kind of targets"),
        }
    }

    /// Puts the targets of several batches, which are of one kind, one after another.
    pub fn concat(batches: impl IntoIterator<Item = Self>) -> Option<Self> {
        batches.into_iter().reduce(|mut all, more| {
            all.append(more);
            all
        })
    }
}
