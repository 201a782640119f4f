//! The state of `vec_collect`: the values of all groups, as they came.

#[cfg(test)]
mod tests;

use std::mem::size_of_val;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BinaryArray, BooleanArray, ListArray, new_empty_array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::interleave;
use arrow::datatypes::DataType;
use arrow::row::{RowConverter, SortField};
use datafusion::common::cast::{as_binary_array, as_list_array};
use datafusion::common::{Result, internal_err, plan_err};
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};

use super::{NAME, item};
use crate::functions::aggregate::{passes, refuse_distinct, state_of_rows};
use crate::functions::lists::{offsets_of, validity};

/// Rows that came in one batch, in that order. The arrays are copies, so that holding them holds no
/// larger buffer of which they are a part, and their sizes are the truth.
#[derive(Debug, Clone)]
struct Chunk {
    groups: Vec<u32>,
    values: ArrayRef,
    /// The ORDER BY expressions of each row, encoded so that comparing bytes compares rows.
    keys: Option<ArrayRef>,
}

impl Chunk {
    /// The rows of `values` and `keys` that `rows` names; `groups` are theirs.
    fn try_new(
        values: &ArrayRef,
        keys: Option<&ArrayRef>,
        rows: &[usize],
        groups: Vec<u32>,
    ) -> Result<Self> {
        // `take` would reserve room for all of the input's list elements, `interleave` for those it
        // copies.
        let rows = rows.iter().map(|&row| (0, row)).collect::<Vec<_>>();
        Ok(Self {
            groups,
            values: interleave(&[values], &rows)?,
            keys: keys.map(|keys| interleave(&[keys], &rows)).transpose()?,
        })
    }

    fn size(&self) -> usize {
        size_of_val(self)
            + self.groups.capacity() * size_of::<u32>()
            + self.values.get_array_memory_size()
            + self
                .keys
                .as_ref()
                .map_or(0, |keys| keys.get_array_memory_size())
    }
}

/// The collected values of all groups, kept as they came.
#[derive(Debug, Clone)]
pub(super) struct CollectGroups {
    data_type: DataType,
    /// Encodes the ORDER BY expressions, if there are any.
    key_encoder: Option<Arc<RowConverter>>,
    chunks: Vec<Chunk>,
    /// The chunks' sizes, summed.
    chunk_bytes: usize,
    num_groups: usize,
}

/// Values of a range of groups: which lists they make, and where each value is (chunk, row).
struct Gathered {
    counts: Vec<usize>,
    places: Vec<(usize, usize)>,
}

impl CollectGroups {
    pub(super) fn try_new(args: &AccumulatorArgs, num_groups: usize) -> Result<Self> {
        if args.is_distinct {
            return refuse_distinct(NAME);
        }
        let mut sort_fields = Vec::with_capacity(args.order_bys.len());
        for key in args.order_bys {
            sort_fields.push(SortField::new_with_options(
                key.expr.data_type(args.schema)?,
                key.options,
            ));
        }
        if !RowConverter::supports_fields(&sort_fields) {
            return plan_err!("{NAME}: an ORDER BY expression has a type that has no order");
        }
        let key_encoder = if sort_fields.is_empty() {
            None
        } else {
            Some(Arc::new(RowConverter::new(sort_fields)?))
        };
        Ok(Self {
            data_type: args.expr_fields[0].data_type().clone(),
            key_encoder,
            chunks: Vec::new(),
            chunk_bytes: 0,
            num_groups,
        })
    }

    /// The same aggregate without any rows.
    fn emptied(&self, num_groups: usize) -> Self {
        Self {
            data_type: self.data_type.clone(),
            key_encoder: self.key_encoder.clone(),
            chunks: Vec::new(),
            chunk_bytes: 0,
            num_groups,
        }
    }

    fn push(&mut self, chunk: Chunk) {
        if !chunk.groups.is_empty() {
            self.chunk_bytes += chunk.size();
            self.chunks.push(chunk);
        }
    }

    fn num_emitted(&self, emit_to: EmitTo) -> usize {
        match emit_to {
            EmitTo::All => self.num_groups,
            EmitTo::First(num_groups) => num_groups,
        }
    }

    /// Finds the values of the first `num_groups` groups, each group's in the order in which they
    /// came.
    fn gather(&self, num_groups: usize) -> Gathered {
        let mut counts = vec![0_usize; num_groups];
        let emitted = |group: &u32| (*group as usize) < num_groups;
        for &group in self
            .chunks
            .iter()
            .flat_map(|chunk| &chunk.groups)
            .filter(|group| emitted(group))
        {
            counts[group as usize] += 1;
        }
        let mut next_place = Vec::with_capacity(num_groups);
        let mut num_values = 0;
        for count in &counts {
            next_place.push(num_values);
            num_values += count;
        }
        let mut places = vec![(0, 0); num_values];
        for (index, chunk) in self.chunks.iter().enumerate() {
            for (row, &group) in chunk
                .groups
                .iter()
                .enumerate()
                .filter(|(_, group)| emitted(group))
            {
                places[next_place[group as usize]] = (index, row);
                next_place[group as usize] += 1;
            }
        }
        Gathered { counts, places }
    }

    /// Sorts each group's values by their keys; equal keys keep their order.
    fn sort(&self, Gathered { counts, places }: &mut Gathered) -> Result<()> {
        let chunk_keys = self.chunks.iter().filter_map(|chunk| chunk.keys.as_ref());
        let keys = chunk_keys
            .map(|keys| as_binary_array(keys))
            .collect::<Result<Vec<&BinaryArray>>>()?;
        if keys.is_empty() {
            return Ok(());
        }
        let mut rest = places.as_mut_slice();
        for &count in counts.iter() {
            let (group, others) = rest.split_at_mut(count);
            group.sort_by(|a, b| keys[a.0].value(a.1).cmp(keys[b.0].value(b.1)));
            rest = others;
        }
        Ok(())
    }

    /// The lists of the gathered groups, of values or of keys; NULL for a group without any.
    fn lists(
        &self,
        gathered: &Gathered,
        data_type: &DataType,
        column: impl Fn(&Chunk) -> Option<&ArrayRef>,
    ) -> Result<ArrayRef> {
        let offsets = offsets_of(NAME, gathered.counts.iter().copied())?;
        let arrays = self
            .chunks
            .iter()
            .filter_map(column)
            .map(|array| array.as_ref())
            .collect::<Vec<_>>();
        let values = if arrays.is_empty() {
            new_empty_array(data_type)
        } else {
            interleave(&arrays, &gathered.places)?
        };
        let filled =
            BooleanBuffer::collect_bool(gathered.counts.len(), |group| gathered.counts[group] > 0);
        Ok(Arc::new(ListArray::try_new(
            item(data_type),
            offsets,
            values,
            validity(filled),
        )?))
    }

    /// Forgets the first `num_groups` groups; the others move down by that number.
    fn forget(&mut self, num_groups: usize) -> Result<()> {
        let mut kept = self.emptied(self.num_groups - num_groups);
        if kept.num_groups > 0 {
            for chunk in &self.chunks {
                let (mut rows, mut groups) = (Vec::new(), Vec::new());
                for (row, &group) in chunk.groups.iter().enumerate() {
                    if let Some(group) = group.checked_sub(num_groups as u32) {
                        rows.push(row);
                        groups.push(group);
                    }
                }
                kept.push(Chunk::try_new(
                    &chunk.values,
                    chunk.keys.as_ref(),
                    &rows,
                    groups,
                )?);
            }
        }
        *self = kept;
        Ok(())
    }
}

impl GroupsAccumulator for CollectGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.num_groups = self.num_groups.max(total_num_groups);
        let (rows, groups) = group_indices
            .iter()
            .enumerate()
            .filter(|(row, _)| passes(opt_filter, *row))
            .map(|(row, &group)| (row, group as u32))
            .unzip::<_, _, Vec<_>, Vec<_>>();
        let [values, order_by @ ..] = values else {
            return internal_err!("{NAME} got no arguments");
        };
        let keys = match &self.key_encoder {
            Some(encoder) => {
                Some(Arc::new(encoder.convert_columns(order_by)?.try_into_binary()?) as ArrayRef)
            }
            None => None,
        };
        self.push(Chunk::try_new(values, keys.as_ref(), &rows, groups)?);
        Ok(())
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total_num_groups: usize,
    ) -> Result<()> {
        self.num_groups = self.num_groups.max(total_num_groups);
        let lists = as_list_array(&values[0])?;
        let offsets = lists.value_offsets();
        let first = offsets[0];
        let (mut rows, mut groups) = (Vec::new(), Vec::new());
        for (list, &group) in group_indices
            .iter()
            .enumerate()
            .filter(|(list, _)| lists.is_valid(*list))
        {
            rows.extend((offsets[list] - first) as usize..(offsets[list + 1] - first) as usize);
            groups.resize(rows.len(), group as u32);
        }
        // The lists of keys have the lengths of the lists of values, but not always the same first
        // offset.
        let keys = match &self.key_encoder {
            Some(_) => Some(elements(as_list_array(&values[1])?)),
            None => None,
        };
        self.push(Chunk::try_new(
            &elements(lists),
            keys.as_ref(),
            &rows,
            groups,
        )?);
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let num_groups = self.num_emitted(emit_to);
        let mut gathered = self.gather(num_groups);
        self.sort(&mut gathered)?;
        let lists = self.lists(&gathered, &self.data_type, |chunk| Some(&chunk.values))?;
        self.forget(num_groups)?;
        Ok(lists)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let num_groups = self.num_emitted(emit_to);
        let gathered = self.gather(num_groups);
        let mut columns =
            vec![self.lists(&gathered, &self.data_type, |chunk| Some(&chunk.values))?];
        if self.key_encoder.is_some() {
            columns.push(self.lists(&gathered, &DataType::Binary, |chunk| chunk.keys.as_ref())?);
        }
        self.forget(num_groups)?;
        Ok(columns)
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        opt_filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let groups = self.emptied(values[0].len());
        state_of_rows(groups, values, opt_filter)
    }

    fn size(&self) -> usize {
        self.chunk_bytes + (self.chunks.capacity() - self.chunks.len()) * size_of::<Chunk>()
    }
}

/// The elements of all lists, end to end.
fn elements(lists: &ListArray) -> ArrayRef {
    let offsets = lists.value_offsets();
    let (start, end) = (offsets[0] as usize, offsets[lists.len()] as usize);
    lists.values().slice(start, end - start)
}
