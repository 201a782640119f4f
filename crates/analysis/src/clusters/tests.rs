use super::super::rows::Rows;
use super::*;

/// Points on a line: 0, 1, 5, 7 and 20.
fn line() -> Distances {
    Distances::of(&Rows::new(5, 1, vec![0.0, 5.0, 20.0, 1.0, 7.0]))
}

#[test]
fn the_nearest_are_merged_first() {
    // Points 0 and 3 are 1 apart, 1 and 4 are 2 apart. On average those four are 5.5 apart, and all
    // of them 16.75 from 20.
    let dendrogram = Dendrogram::of(&line(), Linkage::Average);
    let merge = |first, second, distance, size| Merge {
        first,
        second,
        distance,
        size,
    };
    let expected = [
        merge(0, 3, 1.0, 2),
        merge(1, 4, 2.0, 2),
        merge(5, 6, 5.5, 4),
        merge(2, 7, 16.75, 5),
    ];
    assert_eq!(dendrogram.merges(), expected);
    assert_eq!(dendrogram.leaves(), [2, 0, 3, 1, 4]);
    assert_eq!(dendrogram.cut(1), [0; 5]);
    assert_eq!(dendrogram.cut(2), [0, 0, 1, 0, 0]);
    assert_eq!(dendrogram.cut(3), [0, 1, 2, 0, 1]);
    assert_eq!(dendrogram.cut(5), [0, 1, 2, 3, 4]);
}

#[test]
fn ward_is_in_units_of_distance() {
    // (0, 1) and (5, 7): centroids 0.5 and 6, sqrt(2 * 2 * 2 / 4) * 5.5.
    let merges = Dendrogram::of(&line(), Linkage::Ward).merges().to_vec();
    let expected = 2f64.sqrt() * 5.5;
    assert!((merges[2].distance - expected).abs() < 1e-12, "{merges:?}");
}

#[test]
fn silhouettes_are_means_over_points() {
    // Of 0 and 1: (6 - 1) / 6 and (5 - 1) / 5; of 5 and 7: (4.5 - 2) / 4.5 and (6.5 - 2) / 6.5; the
    // point alone counts nothing.
    let expected = (5.0 / 6.0 + 4.0 / 5.0 + 2.5 / 4.5 + 4.5 / 6.5) / 5.0;
    let found = silhouette(&line(), &[0, 1, 2, 0, 1]).unwrap();
    assert!((found - expected).abs() < 1e-12, "{found}");
    assert_eq!(silhouette(&line(), &[0; 5]), None);
    assert_eq!(silhouette(&line(), &[0, 1, 2, 3, 4]), None);
}

#[test]
fn points_in_one_place_are_no_clusters() {
    let same = Distances::of(&Rows::new(4, 2, vec![1.0; 8]));
    assert_eq!(silhouette(&same, &[0, 0, 1, 1]), Some(0.0));
    assert_eq!(Dendrogram::of(&same, Linkage::Ward).leaves().len(), 4);
}

#[test]
fn one_point_or_none_is_its_own_order() {
    let one = Distances::of(&Rows::new(1, 2, vec![1.0; 2]));
    let dendrogram = Dendrogram::of(&one, Linkage::Ward);
    assert_eq!(dendrogram.leaves(), [0]);
    assert_eq!(dendrogram.cut(2), [0]);
    let none = Dendrogram::of(&Distances::of(&Rows::default()), Linkage::Ward);
    assert!(none.leaves().is_empty() && none.cut(2).is_empty());
}
