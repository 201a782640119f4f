//! The accumulator of `vec_collect`, called as DataFusion calls it.

use arrow::array::{AsArray, Int32Array};
use arrow::datatypes::Int32Type;
use proptest::prelude::*;

use super::*;
use crate::functions::tests::{ints, lists};

fn collector(data_type: DataType, descending: bool) -> CollectGroups {
    let options = arrow::compute::SortOptions {
        descending,
        nulls_first: false,
    };
    let encoder =
        RowConverter::new(vec![SortField::new_with_options(DataType::Int32, options)]).unwrap();
    CollectGroups {
        data_type,
        key_encoder: Some(Arc::new(encoder)),
        chunks: Vec::new(),
        chunk_bytes: 0,
        num_groups: 0,
    }
}

fn rows(array: &ArrayRef) -> Vec<Option<Vec<i32>>> {
    let rows = array.as_list::<i32>().iter();
    rows.map(|row| row.map(|row| row.as_primitive::<Int32Type>().values().to_vec()))
        .collect()
}

#[test]
fn emitting_the_first_groups_moves_the_others_down() {
    let mut groups = collector(DataType::Int32, false);
    groups
        .update_batch(
            &[ints(&[1, 2, 3, 4]), ints(&[9, 8, 7, 6])],
            &[0, 1, 0, 2],
            None,
            4,
        )
        .unwrap();
    assert_eq!(
        rows(&groups.evaluate(EmitTo::First(1)).unwrap()),
        [Some(vec![3, 1])]
    );
    groups
        .update_batch(&[ints(&[5, 6]), ints(&[1, 1])], &[0, 2], None, 3)
        .unwrap();
    assert_eq!(
        rows(&groups.evaluate(EmitTo::All).unwrap()),
        [Some(vec![5, 2]), Some(vec![4]), Some(vec![6])]
    );
}

#[test]
fn size_is_what_is_held_and_no_more() {
    let large = lists(&vec![Some([1.0; 100].as_slice()); 1_000]);
    let keys = ints(&(0..1_000).collect::<Vec<_>>());
    let mut groups = collector(large.data_type().clone(), false);
    groups
        .update_batch(&[large.slice(500, 1), keys.slice(500, 1)], &[0], None, 1)
        .unwrap();
    let one_row = groups.size();
    assert!((400..4_000).contains(&one_row), "{one_row}");

    groups
        .update_batch(&[large, keys], &vec![0; 1_000], None, 1)
        .unwrap();
    assert!(
        (400_000..600_000).contains(&groups.size()),
        "{}",
        groups.size()
    );
    groups.evaluate(EmitTo::First(1)).unwrap();
    assert_eq!(groups.size(), 0);
}

proptest! {
    /// However rows are dealt out, groups hold their values in the order of their keys.
    #[test]
    fn any_split_gives_the_values_in_order(
        input in prop::collection::vec((0_usize..3, any::<i32>()), 1..50),
        num_parts in 1_usize..4,
        batch_rows in 1_usize..7,
        convert in any::<bool>(),
        descending in any::<bool>(),
    ) {
        const NUM_GROUPS: usize = 3;
        let mut merged = collector(DataType::Int32, descending);
        for part in 0..num_parts {
            let mut partial = collector(DataType::Int32, descending);
            let part_rows = input.iter().skip(part).step_by(num_parts).collect::<Vec<_>>();
            for batch in part_rows.chunks(batch_rows) {
                let indices = batch.iter().map(|(group, _)| *group).collect::<Vec<_>>();
                let values = Int32Array::from_iter_values(batch.iter().map(|(_, value)| *value));
                let values: ArrayRef = Arc::new(values);
                let arguments = [Arc::clone(&values), values];
                if convert {
                    let states = partial.convert_to_state(&arguments, None).unwrap();
                    merged.merge_batch(&states, &indices, NUM_GROUPS).unwrap();
                } else {
                    partial.update_batch(&arguments, &indices, None, NUM_GROUPS).unwrap();
                }
            }
            let states = partial.state(EmitTo::All).unwrap();
            let groups = (0..states[0].len()).collect::<Vec<_>>();
            merged.merge_batch(&states, &groups, NUM_GROUPS).unwrap();
        }
        let results = rows(&merged.evaluate(EmitTo::All).unwrap());
        for (group, result) in results.into_iter().enumerate() {
            let own = input.iter().filter(|(of, _)| *of == group).map(|(_, value)| *value);
            let mut expected = own.collect::<Vec<_>>();
            expected.sort_unstable();
            if descending {
                expected.reverse();
            }
            prop_assert_eq!(result, (!expected.is_empty()).then_some(expected));
        }
    }
}
