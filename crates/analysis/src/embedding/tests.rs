use super::*;

/// Three groups of points in ten dimensions, far from each other.
fn groups(num_points: usize) -> Rows {
    let noise = |i: usize, j: usize| ((i * 7919 + j * 104_729) % 1009) as f64 / 1009.0;
    let value = |i: usize, j: usize| if j == i % 3 { 10.0 } else { 0.0 } + noise(i, j);
    let values = (0..num_points).flat_map(|i| (0..10).map(move |j| value(i, j)));
    Rows::new(num_points, 10, values.collect())
}

#[test]
fn components_are_those_of_the_variance() {
    // Along (3, 4) / 5 the points are at -5, 0 and 5, across it at -1, 2, -1.
    let at = |along: f64, across: f64| [0.6 * along - 0.8 * across, 0.8 * along + 0.6 * across];
    let values = [at(-5.0, -1.0), at(0.0, 2.0), at(5.0, -1.0)].concat();
    let expected = [-5.0, -1.0, 0.0, 0.0, 2.0, 0.0, 5.0, -1.0, 0.0];
    // Whichever side is the smaller, and wherever the points are.
    for extra in [0, 4] {
        let rows = values.chunks(2).flat_map(|row| {
            let shifted = row.iter().map(|x| x + 3.0);
            shifted
                .chain(std::iter::repeat_n(7.0, extra))
                .collect::<Vec<_>>()
        });
        let points = Rows::new(3, 2 + extra, rows.collect());
        let found = principal_components(&points, 3);
        for (found, expected) in found.values().iter().zip(expected) {
            // The farthest of the first component is as far on the other side.
            let near = (found - expected).abs() < 1e-9 || (found + expected).abs() < 1e-9;
            assert!(near, "{found}, not {expected}");
        }
    }
}

#[test]
fn points_that_do_not_vary_have_components_of_0() {
    let found = principal_components(&Rows::new(3, 4, vec![2.5; 12]), 2);
    assert_eq!(found, Rows::new(3, 2, vec![0.0; 6]));
}

#[test]
fn a_picture_that_is_the_data_is_trusted_and_a_wrong_neighbour_costs_its_rank() {
    let line = Rows::new(5, 1, vec![0.0, 1.0, 3.0, 6.0, 10.0]);
    let data = Distances::of(&line);
    assert_eq!(trustworthiness(&data, &line, 2), Some(1.0));
    // 0 and 10 change places: the nearest are 1, 0; 2, 2; 3, 3; 2, 2 and 1, where in the data they
    // are of the ranks below.
    let picture = Rows::new(5, 1, vec![10.0, 1.0, 3.0, 6.0, 0.0]);
    // Nearest in the picture: of 0 (at 10) it is 3, of 1 (at 1) it is 4, of 2 (at 3) it is 1, of 3
    // (at 6) it is 2, of 4 (at 0) it is 1. Their ranks in the data: 3, 4, 1, 1, 3.
    let expected = 1.0 - 2.0 / (5.0 * (10.0 - 3.0 - 1.0)) * f64::from(2 + 3 + 2);
    let found = trustworthiness(&data, &picture, 1).unwrap();
    assert!((found - expected).abs() < 1e-12, "{found}, not {expected}");
    assert_eq!(trustworthiness(&data, &picture, 3), None);
    assert_eq!(trustworthiness(&data, &picture, 0), None);
}

#[test]
fn groups_stay_groups_and_a_seed_gives_one_picture() {
    let points = groups(30);
    let data = Distances::of(&points);
    for dimensions in [2, 3] {
        let start = principal_components(&points, dimensions);
        let tsne = |seed| Tsne {
            perplexity: 5.0,
            seed,
        };
        let picture = tsne(1).place(&data, Start::Components(&start));
        assert_eq!(picture.num_columns(), dimensions);
        assert_eq!(picture, tsne(1).place(&data, Start::Components(&start)));
        assert_ne!(picture, tsne(2).place(&data, Start::Components(&start)));
        let apart = Distances::of(&picture);
        for point in 0..points.len() {
            let nearest = apart.nearest(point);
            assert!(nearest[..9].iter().all(|other| other % 3 == point % 3));
        }
        // What is in place stays about there, and is better than where it began.
        let on = tsne(1).place(&data, Start::Before(&picture));
        let divergence = |picture| divergence(&data, picture, 5.0, 29);
        assert!(divergence(&on) < divergence(&picture) * 1.05);
        assert!(divergence(&picture) < 0.5 * divergence(&start));
    }
}

#[test]
fn many_points_are_placed_by_groups() {
    let points = groups(tsne::EXACT_POINTS + 1);
    let tsne = Tsne {
        perplexity: 10.0,
        seed: 0,
    };
    assert_eq!(tsne.num_neighbours(points.len()), 31);
    assert_eq!(tsne.num_neighbours(tsne::EXACT_POINTS), 999);
    assert_eq!(largest_perplexity(points.len()), 333.0);
}

#[test]
fn divergence_is_0_where_all_points_are_as_far_apart_as_can_be() {
    // Three points, each as far from the others in the data and in the picture: both sides say 1/6.
    let same = Rows::new(3, 2, vec![0.0, 0.0, 1.0, 0.0, 0.5, 0.75f64.sqrt()]);
    let found = divergence(&Distances::of(&same), &same, 2.0, 2);
    assert!(found.abs() < 1e-12, "{found}");
}
