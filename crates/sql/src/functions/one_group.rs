//! DataFusion's accumulator of a single group, served by the one of many groups.

use std::fmt::Debug;
use std::mem::size_of_val;

use arrow::array::ArrayRef;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{Accumulator, EmitTo, GroupsAccumulator};

/// An [`Accumulator`] over group 0 of a [`GroupsAccumulator`]: aggregates without `GROUP BY`, and
/// window functions.
#[derive(Debug)]
pub(super) struct OneGroup<G> {
    groups: G,
    /// Group numbers of a batch's rows, all 0, kept between batches.
    zeros: Vec<usize>,
}

impl<G> OneGroup<G> {
    /// `groups` must already have its one group, so that no rows at all give a result, too.
    pub(super) fn new(groups: G) -> Self {
        Self {
            groups,
            zeros: Vec::new(),
        }
    }

    fn zeros(zeros: &mut Vec<usize>, num_rows: usize) -> &[usize] {
        if zeros.len() < num_rows {
            zeros.resize(num_rows, 0);
        }
        &zeros[..num_rows]
    }
}

impl<G: GroupsAccumulator + Clone + Debug + Sync> Accumulator for OneGroup<G> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let zeros = Self::zeros(&mut self.zeros, values[0].len());
        self.groups.update_batch(values, zeros, None, 1)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let zeros = Self::zeros(&mut self.zeros, states[0].len());
        self.groups.merge_batch(states, zeros, 1)
    }

    // A growing window asks again after every row, while a GroupsAccumulator's evaluate gives its
    // state away.
    fn evaluate(&mut self) -> Result<ScalarValue> {
        ScalarValue::try_from_array(&self.groups.clone().evaluate(EmitTo::All)?, 0)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let columns = self.groups.state(EmitTo::All)?;
        columns
            .iter()
            .map(|column| ScalarValue::try_from_array(column, 0))
            .collect()
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.groups.size() + self.zeros.capacity() * size_of::<usize>()
    }
}
