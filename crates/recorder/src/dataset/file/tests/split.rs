//! What is held out.

use super::*;
use crate::dataset::split::draw_held_out;

#[test]
fn the_split_follows_from_the_seed() {
    let files = Files::new();
    let spec = files.csv(&flowers(), &["kind"]);
    let held_out = |seed| load(&spec, seed).unwrap().held_out().clone();
    assert_eq!(held_out(1), held_out(1));
    assert_ne!(held_out(1), held_out(2));
    let half = FileSpec {
        held_out: Some(HeldOutRule::Share(0.5)),
        ..spec.clone()
    };
    assert_eq!(load(&half, 1).unwrap().held_out().len(), 15);
}

#[test]
fn small_classes_keep_a_sample_to_train_on() {
    // 1, 2 and 7 of 10: a half each are 0.5, 1 and 3.5, together 5; the first two have one to keep.
    let strata = vec![vec![0], vec![1, 2], (3..10).collect()];
    let drawn = draw_held_out(strata, 0.5, 7);
    let among = |rows: std::ops::Range<usize>| drawn.iter().filter(|r| rows.contains(r)).count();
    assert_eq!((among(0..1), among(1..3), among(3..10)), (0, 1, 4));
    assert!(drawn.is_sorted());
    assert!(draw_held_out(vec![vec![0], vec![1]], 0.5, 7).is_empty());
}

#[test]
fn held_out_samples_have_the_columns_and_classes_of_those_that_are_trained_on() {
    let files = Files::new();
    let refusal = |test: &str| {
        let test = files.write("test.csv", test);
        files.refusal(&held_out_in(files.csv(&flowers(), &["kind"]), test))
    };
    assert_eq!(
        refusal("length,width,kind\n1,2,setosa\n1,2,setossa\n"),
        "test.csv, line 3, column \"kind\": no sample that is trained on is of class \"setossa\"; \
         did you mean setosa?"
    );
    let refused = refusal("width,length,kind\n1,2,setosa\n");
    assert!(
        refused.starts_with("test.csv: column \"width\" stands where "),
        "{refused}"
    );
    let refused = refusal("length,kind\n1,setosa\n");
    assert!(
        refused.starts_with("test.csv: a sample has 1 inputs, in "),
        "{refused}"
    );
    assert_eq!(
        refusal("length,width,kind\n"),
        "test.csv: it has no samples"
    );
}
