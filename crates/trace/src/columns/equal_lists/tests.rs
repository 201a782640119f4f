use std::sync::Arc;

use arrow::array::{Float32Array, Int32Array, ListArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};

use super::*;
use crate::table::float_item;

fn lists(lengths: &[usize], nulls: Option<Vec<bool>>) -> ListArray {
    let num_values = lengths.iter().sum::<usize>();
    let values = (0..num_values).map(|n| n as f32);
    ListArray::new(
        Arc::new(float_item()),
        OffsetBuffer::from_lengths(lengths.iter().copied()),
        Arc::new(Float32Array::from_iter_values(values)),
        nulls.map(NullBuffer::from),
    )
}

#[test]
fn lists_of_one_length_are_told() {
    let of = |array: ArrayRef| EqualLists::of(&array).map(|l| (l.values.to_vec(), l.length));
    let equal = lists(&[2, 2], Some(vec![true; 2]));
    assert_eq!(of(Arc::new(equal)), Some((vec![0.0, 1.0, 2.0, 3.0], 2)));
    let slice = lists(&[5, 1, 1, 3], None).slice(1, 2);
    assert_eq!(of(Arc::new(slice)), Some((vec![5.0, 6.0], 1)));
    for others in [
        lists(&[2, 3], None),
        lists(&[0, 0], None),
        lists(&[2, 2], Some(vec![true, false])),
        lists(&[], None),
    ] {
        assert_eq!(of(Arc::new(others)), None);
    }
    assert_eq!(of(Arc::new(Int32Array::from(vec![1, 2]))), None);
}

/// What the hybrid of runs and bits says, level by level; bits in the last group that are none are left out.
fn levels(mut bytes: &[u8], num_values: usize) -> Vec<u8> {
    let mut levels = Vec::new();
    while let Some((&first, rest)) = bytes.split_first() {
        let (mut header, mut shift) = (usize::from(first & 0x7f), 7);
        bytes = rest;
        let mut byte = first;
        while byte & 0x80 != 0 {
            byte = bytes[0];
            header |= usize::from(byte & 0x7f) << shift;
            (bytes, shift) = (&bytes[1..], shift + 7);
        }
        if header & 1 == 0 {
            levels.resize(levels.len() + (header >> 1), bytes[0]);
            bytes = &bytes[1..];
        } else {
            let (groups, rest) = bytes.split_at(header >> 1);
            levels.extend(
                groups
                    .iter()
                    .flat_map(|g| (0..8).map(move |bit| g >> bit & 1)),
            );
            bytes = rest;
        }
    }
    assert!((num_values..num_values + 8).contains(&levels.len()));
    levels.truncate(num_values);
    levels
}

#[test]
fn repetition_levels_say_where_lists_begin() {
    for length in [1, 2, 7, 8, 9, 47, 48, 49, 127, 128, 129, 784, 70_000] {
        for num_lists in [1, 2, 3, 600] {
            let num_values = length * num_lists;
            let mut bytes = Vec::new();
            put_repetition(num_values, length, &mut bytes);
            let expected: Vec<u8> = (0..num_values)
                .map(|value| u8::from(value % length != 0))
                .collect();
            assert!(
                levels(&bytes, num_values) == expected,
                "{num_lists} lists of {length}"
            );
            // Two runs a list, or a bit a value.
            let most = (num_values / 7 + 3).min(6 * num_lists + num_values / 7 + 3);
            assert!(bytes.len() <= most, "{} bytes", bytes.len());
        }
    }
}

#[test]
fn the_memory_of_a_page_is_used_again() {
    let mut page = take_buffer();
    page.resize(1000, 1);
    let at = page.as_ptr();
    drop(Bytes::from_owner(PageBuffer(page)));
    let page = take_buffer();
    assert_eq!((page.as_ptr(), page.len()), (at, 0));
    // A page of a list that is longer than others is not kept.
    drop(PageBuffer(vec![0; 9 * PAGE_VALUES]));
    assert!(take_buffer().capacity() < PAGE_VALUES);
}
