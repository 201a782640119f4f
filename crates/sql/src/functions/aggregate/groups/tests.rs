//! The accumulators of the list aggregates, called as DataFusion calls them.

use arrow::array::AsArray;
use arrow::datatypes::Float32Type;
use proptest::prelude::*;

use super::*;
use crate::functions::tests::lists;

fn rows(array: &ArrayRef) -> Vec<Option<Vec<f32>>> {
    let rows = array.as_list::<i32>().iter();
    rows.map(|row| row.map(|row| row.as_primitive::<Float32Type>().values().to_vec()))
        .collect()
}

#[test]
fn emitting_the_first_groups_moves_the_others_down() {
    for fold in [Fold::Sum, Fold::Var] {
        let mut groups = ListGroups::new(fold, 0);
        // Group 1 gets its lanes before group 0.
        let input = lists(&[
            Some(&[1.0, 2.0]),
            Some(&[3.0]),
            None,
            Some(&[5.0, 6.0, 7.0]),
        ]);
        groups
            .update_batch(&[input], &[1, 0, 2, 3], None, 4)
            .unwrap();
        let zero_or = |value: f32| if fold == Fold::Var { 0.0 } else { value };
        assert_eq!(
            rows(&groups.evaluate(EmitTo::First(1)).unwrap()),
            [Some(vec![zero_or(3.0)])]
        );

        groups
            .update_batch(
                &[lists(&[Some(&[1.0, 4.0]), Some(&[8.0])])],
                &[0, 1],
                None,
                3,
            )
            .unwrap();
        let expected = if fold == Fold::Var {
            vec![0.0, 1.0]
        } else {
            vec![2.0, 6.0]
        };
        assert_eq!(
            rows(&groups.evaluate(EmitTo::First(2)).unwrap()),
            [Some(expected), Some(vec![zero_or(8.0)])]
        );
        let last = [5.0, 6.0, 7.0].map(zero_or).to_vec();
        assert_eq!(rows(&groups.evaluate(EmitTo::All).unwrap()), [Some(last)]);
    }
}

#[test]
fn emitting_everything_starts_afresh() {
    let mut groups = ListGroups::new(Fold::Mean, 0);
    groups
        .update_batch(&[lists(&[Some(&[1.0, 2.0])])], &[0], None, 1)
        .unwrap();
    assert!(groups.size() > 0);
    groups.state(EmitTo::All).unwrap();
    assert_eq!(groups.size(), 0);
    groups
        .update_batch(&[lists(&[Some(&[9.0])])], &[0], None, 1)
        .unwrap();
    assert_eq!(
        rows(&groups.evaluate(EmitTo::All).unwrap()),
        [Some(vec![9.0])]
    );
}

#[test]
fn size_counts_every_lane() {
    let width = 1_000;
    let list = vec![1.0; width];
    for (fold, num_lanes) in [(Fold::Max, 1), (Fold::Var, 2)] {
        let mut groups = ListGroups::new(fold, 0);
        groups
            .update_batch(&[lists(&[Some(&list), Some(&list)])], &[0, 1], None, 2)
            .unwrap();
        let lanes = 2 * num_lanes * width * size_of::<f64>();
        assert!(
            groups.size() >= lanes && groups.size() < 2 * lanes + 1_000,
            "{fold:?}: {}",
            groups.size()
        );
    }
}

/// Lists of one group as (group, list); all lists of a group have its number of elements.
fn grouped_lists() -> impl Strategy<Value = Vec<(usize, Option<Vec<f32>>)>> {
    let row = (0_usize..4).prop_flat_map(|group| {
        let list = prop::collection::vec(-100.0_f32..100.0, group);
        (
            Just(group),
            prop::option::weighted(
                0.9,
                list.prop_map(move |list| list.iter().map(|x| x + 1e4).collect()),
            ),
        )
    });
    prop::collection::vec(row, 1..60)
}

/// The mean and variance of each place, by the definition.
fn by_definition(fold: Fold, lists: &[&Vec<f32>]) -> Option<Vec<f64>> {
    let width = lists.first()?.len();
    if fold == Fold::VarSamp && lists.len() == 1 {
        return None;
    }
    let num_lists = lists.len() as f64;
    let place = |place: usize| {
        let values = lists
            .iter()
            .map(|list| f64::from(list[place]))
            .collect::<Vec<_>>();
        let sum: f64 = values.iter().sum();
        let mean = sum / num_lists;
        let squares = || {
            values
                .iter()
                .map(|value| (value - mean).powi(2))
                .sum::<f64>()
        };
        match fold {
            Fold::Sum => sum,
            Fold::Mean => mean,
            Fold::Var => squares() / num_lists,
            Fold::VarSamp => squares() / (num_lists - 1.0),
            Fold::Min => values.iter().copied().fold(f64::INFINITY, f64::min),
            Fold::Max => values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        }
    };
    Some((0..width).map(place).collect())
}

proptest! {
    /// However rows are dealt out to accumulators and batches, and whichever of these pass on
    /// states of single rows, the result is that of the definition.
    #[test]
    fn any_split_gives_what_the_definition_gives(
        input in grouped_lists(),
        num_parts in 1_usize..4,
        batch_rows in 1_usize..9,
        convert in any::<bool>(),
    ) {
        const NUM_GROUPS: usize = 4;
        for fold in Fold::ALL {
            let mut merged = ListGroups::new(fold, 0);
            let all_groups = (0..NUM_GROUPS).collect::<Vec<_>>();
            for part in 0..num_parts {
                let mut partial = ListGroups::new(fold, 0);
                let part_rows = input.iter().skip(part).step_by(num_parts).collect::<Vec<_>>();
                for batch in part_rows.chunks(batch_rows) {
                    let indices = batch.iter().map(|(group, _)| *group).collect::<Vec<_>>();
                    let values = batch.iter().map(|(_, list)| list.as_deref()).collect::<Vec<_>>();
                    let values = lists(&values);
                    if convert {
                        let states = partial.convert_to_state(&[values], None).unwrap();
                        merged.merge_batch(&states, &indices, NUM_GROUPS).unwrap();
                    } else {
                        partial.update_batch(&[values], &indices, None, NUM_GROUPS).unwrap();
                    }
                }
                let states = partial.state(EmitTo::All).unwrap();
                merged.merge_batch(&states, &all_groups[..states[0].len()], NUM_GROUPS).unwrap();
            }
            let results = rows(&merged.evaluate(EmitTo::All).unwrap());
            prop_assert_eq!(results.len(), NUM_GROUPS);
            for (group, result) in results.iter().enumerate() {
                let own = input.iter().filter(|(of, _)| *of == group);
                let own = own.filter_map(|(_, list)| list.as_ref());
                let expected = by_definition(fold, &own.collect::<Vec<_>>());
                prop_assert_eq!(result.is_some(), expected.is_some());
                let (result, expected) = (result.iter().flatten(), expected.iter().flatten());
                for (&result, &expected) in result.zip(expected) {
                    let error = (f64::from(result) - expected).abs();
                    let allowed = 1e-7 + 1e-6 * expected.abs();
                    prop_assert!(error <= allowed, "{fold:?}: {result}, not {expected}");
                }
            }
        }
    }
}
