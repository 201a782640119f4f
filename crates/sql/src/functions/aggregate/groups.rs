//! The state of the list aggregates: what every group has seen so far, in flat buffers.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Float32Array, Float64Array, ListArray, UInt64Array,
};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::{DataType, Field, FieldRef, Float32Type, Float64Type, UInt64Type};
use datafusion::common::cast::as_primitive_array;
use datafusion::common::{Result, exec_err, internal_err};
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};

use super::{passes, state_of_rows};
use crate::functions::fold::Fold;
use crate::functions::lists::{
    FLOAT32_ITEM, Float, FloatLists, element_type, offsets_of, validity,
};

/// What a group has seen so far.
#[derive(Debug, Clone, Copy, Default)]
struct Group {
    /// Where its lanes begin.
    start: usize,
    /// The length of its lists.
    width: usize,
    /// How many lists it has seen; while 0, it has no lanes.
    count: u64,
}

/// The state of all groups in flat buffers: a lane of a group is a slice of one buffer, appended
/// when the group sees its first list.
#[derive(Debug, Clone)]
pub(super) struct ListGroups {
    fold: Fold,
    groups: Vec<Group>,
    first: Vec<f64>,
    /// Empty unless the fold has a second lane.
    second: Vec<f64>,
}

/// Groups taken out of [`ListGroups`], their lanes in group order without gaps.
struct Taken {
    groups: Vec<Group>,
    first: Vec<f64>,
    second: Vec<f64>,
}

impl ListGroups {
    pub(super) fn new(fold: Fold, num_groups: usize) -> Self {
        Self {
            fold,
            groups: vec![Group::default(); num_groups],
            first: Vec::new(),
            second: Vec::new(),
        }
    }

    fn grow(&mut self, num_groups: usize) {
        if self.groups.len() < num_groups {
            self.groups.resize(num_groups, Group::default());
        }
    }

    /// Gives a group its lanes, the first one filled with `values` and the second one with
    /// `squares` or zeros.
    fn start<V: Copy + Into<f64>>(
        &mut self,
        group: usize,
        count: u64,
        values: &[V],
        squares: &[f64],
    ) {
        self.groups[group] = Group {
            start: self.first.len(),
            width: values.len(),
            count,
        };
        self.first.extend(values.iter().map(|&value| value.into()));
        if self.fold.has_second_lane() {
            self.second.extend_from_slice(squares);
            self.second.resize(self.first.len(), 0.0);
        }
    }

    /// The lanes of a group that has seen lists, which must be `width` long.
    #[inline]
    fn lanes(&mut self, group: usize, width: usize) -> Result<(&mut [f64], &mut [f64])> {
        let Group {
            start,
            width: known,
            ..
        } = self.groups[group];
        if known != width {
            return exec_err!(
                "{}: lists of unequal length in one group: {known} and {width}; pad(list, width) \
                 makes them equal",
                self.fold.name()
            );
        }
        let second = if self.fold.has_second_lane() {
            &mut self.second[start..start + width]
        } else {
            &mut []
        };
        Ok((&mut self.first[start..start + width], second))
    }

    fn add_rows<T: Float>(
        &mut self,
        lists: &ArrayRef,
        groups: &[usize],
        filter: Option<&BooleanArray>,
    ) -> Result<()> {
        let lists = FloatLists::<T>::try_new(self.fold.name(), lists)?;
        for (row, &group) in groups.iter().enumerate() {
            if passes(filter, row)
                && let Some(list) = lists.row(row)?
            {
                self.add(group, list)?;
            }
        }
        Ok(())
    }

    #[inline]
    fn add<V: Copy + Into<f64>>(&mut self, group: usize, list: &[V]) -> Result<()> {
        let count = self.groups[group].count + 1;
        if count == 1 {
            self.start(group, count, list, &[]);
            return Ok(());
        }
        let fold = self.fold;
        let (first, second) = self.lanes(group, list.len())?;
        fold.add(first, second, count, list);
        self.groups[group].count = count;
        Ok(())
    }

    fn merge(&mut self, group: usize, first: &[f64], second: &[f64], count: u64) -> Result<()> {
        let known = self.groups[group].count;
        if known == 0 {
            self.start(group, count, first, second);
            return Ok(());
        }
        let fold = self.fold;
        let (known_first, known_second) = self.lanes(group, first.len())?;
        fold.merge((known_first, known_second, known), (first, second, count));
        self.groups[group].count = known + count;
        Ok(())
    }

    fn take(&mut self, emit_to: EmitTo) -> Taken {
        self.order_lanes();
        let groups = emit_to.take_needed(&mut self.groups);
        let num_values = groups.iter().map(|group| group.width).sum();
        let emit_values = match emit_to {
            EmitTo::All => EmitTo::All,
            EmitTo::First(_) => EmitTo::First(num_values),
        };
        for group in self.groups.iter_mut().filter(|group| group.count > 0) {
            group.start -= num_values;
        }
        Taken {
            groups,
            first: emit_values.take_needed(&mut self.first),
            second: if self.fold.has_second_lane() {
                emit_values.take_needed(&mut self.second)
            } else {
                Vec::new()
            },
        }
    }

    /// Puts lanes in the order of their groups. They are unless a group's first rows were NULL or
    /// filtered out.
    fn order_lanes(&mut self) {
        let mut end = 0;
        let ordered = self
            .groups
            .iter()
            .filter(|group| group.count > 0)
            .all(|group| {
                let in_place = group.start == end;
                end += group.width;
                in_place
            });
        if ordered {
            return;
        }
        let (old_first, old_second) = (
            std::mem::take(&mut self.first),
            std::mem::take(&mut self.second),
        );
        self.first.reserve_exact(old_first.len());
        self.second.reserve_exact(old_second.len());
        for group in self.groups.iter_mut().filter(|group| group.count > 0) {
            let old = group.start..group.start + group.width;
            group.start = self.first.len();
            self.first.extend_from_slice(&old_first[old.clone()]);
            if self.fold.has_second_lane() {
                self.second.extend_from_slice(&old_second[old]);
            }
        }
    }
}

impl GroupsAccumulator for ListGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.grow(total_num_groups);
        match element_type(values[0].data_type()) {
            Some(DataType::Float64) => {
                self.add_rows::<Float64Type>(&values[0], group_indices, opt_filter)
            }
            _ => self.add_rows::<Float32Type>(&values[0], group_indices, opt_filter),
        }
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total_num_groups: usize,
    ) -> Result<()> {
        self.grow(total_num_groups);
        let (firsts, seconds, counts) = match values {
            [first, second, counts] => (first, Some(second), counts),
            [first, counts] => (first, None, counts),
            _ => return internal_err!("{} got {} state columns", self.fold.name(), values.len()),
        };
        let counts = as_primitive_array::<UInt64Type>(counts)?;
        let firsts = FloatLists::<Float64Type>::try_new(self.fold.name(), firsts)?;
        let seconds = seconds
            .map(|lists| FloatLists::<Float64Type>::try_new(self.fold.name(), lists))
            .transpose()?;
        for (row, &group) in group_indices.iter().enumerate() {
            let Some(first) = firsts.row(row)? else {
                continue;
            };
            let second = match &seconds {
                Some(lists) => lists.row(row)?.unwrap_or_default(),
                None => &[],
            };
            self.merge(group, first, second, counts.value(row))?;
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let Taken {
            groups,
            first,
            second,
        } = self.take(emit_to);
        let offsets = offsets_of(self.fold.name(), groups.iter().map(|group| group.width))?;
        let mut values = Vec::with_capacity(first.len());
        for group in &groups {
            let lane = group.start..group.start + group.width;
            let second = second.get(lane.clone()).unwrap_or_default();
            self.fold
                .finish(&first[lane], second, group.count, &mut values);
        }
        let values = Float32Array::from(values);
        Ok(Arc::new(ListArray::try_new(
            Arc::clone(&FLOAT32_ITEM),
            offsets,
            Arc::new(values),
            with_lists(&groups, self.fold.min_count()),
        )?))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let Taken {
            groups,
            first,
            second,
        } = self.take(emit_to);
        let offsets = offsets_of(self.fold.name(), groups.iter().map(|group| group.width))?;
        let nulls = with_lists(&groups, 1);
        let lane = |values| -> Result<ArrayRef> {
            let values = Arc::new(Float64Array::from(values));
            Ok(Arc::new(ListArray::try_new(
                state_item(),
                offsets.clone(),
                values,
                nulls.clone(),
            )?))
        };
        let mut columns = vec![lane(first)?];
        if self.fold.has_second_lane() {
            columns.push(lane(second)?);
        }
        columns.push(Arc::new(UInt64Array::from_iter_values(
            groups.iter().map(|group| group.count),
        )));
        Ok(columns)
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        opt_filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let groups = Self::new(self.fold, values[0].len());
        state_of_rows(groups, values, opt_filter)
    }

    fn size(&self) -> usize {
        self.groups.capacity() * size_of::<Group>()
            + (self.first.capacity() + self.second.capacity()) * size_of::<f64>()
    }
}

/// NULL for the groups that saw fewer than `min_count` lists.
fn with_lists(groups: &[Group], min_count: u64) -> Option<NullBuffer> {
    validity(BooleanBuffer::collect_bool(groups.len(), |group| {
        groups[group].count >= min_count
    }))
}

fn state_item() -> FieldRef {
    Arc::new(Field::new_list_field(DataType::Float64, false))
}

/// The type of a lane in a state.
pub(super) fn state_list() -> DataType {
    DataType::List(state_item())
}
