//! How long pages of lists are, as `schemas/README.md` says.

use super::*;

/// Levels after which parquet's writer looks how long a page has become.
const LEVELS_A_LOOK: usize = 1024;
/// Lists that a page of lists of several lengths has at most before it ends at the next look.
const PAGE_LISTS: usize = 20_000;

/// How many lists and how many values each page of weights has, which are as many as it has bytes for.
fn pages_of(lengths: &[usize], nulls: Option<Vec<bool>>) -> Vec<(usize, usize)> {
    let rows: Vec<Vec<f32>> = lengths.iter().map(|&length| noise(1, length)).collect();
    let file = encode_weights(&rows, nulls);
    let pages = pages(&file, "weights.list.item");
    let pages = pages.iter().map(|page| match page {
        Page::DataPageV2 {
            buf,
            num_values,
            num_nulls,
            num_rows,
            def_levels_byte_len,
            rep_levels_byte_len,
            ..
        } => {
            let values = (num_values - num_nulls) as usize;
            let levels = (def_levels_byte_len + rep_levels_byte_len) as usize;
            assert_eq!(buf.len(), levels + values * size_of::<f32>());
            (*num_rows as usize, values)
        }
        _ => panic!("only data pages of version 2"),
    });
    pages.collect()
}

#[test]
fn a_page_of_lists_of_one_length_has_131072_floats_at_most_or_one_list() {
    for (length, num_lists) in [
        (1, 300_000),
        (3, 90_000),
        (1000, 300),
        (65_537, 3),
        (131_072, 2),
        (131_073, 2),
        (300_000, 2),
    ] {
        let pages = pages_of(&vec![length; num_lists], None);
        let a_page = (131_072 / length).max(1);
        let (last, others) = pages.split_last().unwrap();
        assert!(others.iter().all(|page| *page == (a_page, a_page * length)));
        assert!((1..=a_page).contains(&last.0) && last.1 == last.0 * length);
        let num_pages = num_lists.div_ceil(a_page);
        assert_eq!(pages.len(), num_pages, "{num_lists} lists of {length}");
    }
}

#[test]
fn a_page_of_other_lists_ends_at_the_look_after_131072_floats_or_20000_lists() {
    let unequal = |num_lists: usize, least: usize, more: usize| -> Vec<usize> {
        (0..num_lists)
            .map(|row| least + row * 31 % (more + 1))
            .collect()
    };
    let mut longest_pages = Vec::new();
    for (lengths, has_nulls) in [
        (unequal(400, 900, 300), false),
        (unequal(400, 900, 300), true),
        (unequal(60_000, 0, 2), false),
        (unequal(60_000, 0, 1), true),
        (vec![0; 45_000], false),
        (vec![131_071, 200_000, 1], false),
        // A value less than a page, as many lists as are not looked at, and a long one.
        (
            [vec![131_071], vec![1; 1023], vec![200_000]].concat(),
            false,
        ),
    ] {
        let nulls = has_nulls.then(|| (0..lengths.len()).map(|row| row % 5 > 0).collect());
        let longest = *lengths.iter().max().unwrap();
        let pages = pages_of(&lengths, nulls);
        let of = format!("{} lists, {has_nulls}: {pages:?}", lengths.len());
        let (last, others) = pages.split_last().unwrap();
        for (num_lists, num_values) in &pages {
            assert!(*num_values <= 131_071 + LEVELS_A_LOOK - 1 + longest, "{of}");
            assert!(*num_lists < PAGE_LISTS + LEVELS_A_LOOK, "{of}");
        }
        assert!(
            others
                .iter()
                .all(|page| page.1 >= 131_072 || page.0 >= PAGE_LISTS),
            "{of}"
        );
        assert!(last.0 > 0, "{of}");
        longest_pages.push(*pages.iter().max_by_key(|page| page.1).unwrap());
    }
    // Two of these were made to be as long as a page can be.
    assert_eq!(longest_pages[5].1, 131_071 + 200_000);
    assert_eq!(longest_pages[6], (1025, 131_071 + 1023 + 200_000));
}
