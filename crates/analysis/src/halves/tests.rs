use proptest::prelude::*;

use super::*;

#[test]
fn the_mix_is_the_published_one() {
    // The first numbers of SplitMix64 seeded with 0, as its authors' program prints them.
    const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;
    assert_eq!(mix(GAMMA), 0xe220_a839_7b1d_cdaf);
    assert_eq!(mix(GAMMA.wrapping_mul(2)), 0x6e78_9e6a_a1b9_65f4);
    assert_eq!(mix(GAMMA.wrapping_mul(3)), 0x06c4_5d18_8009_454f);
}

#[test]
fn names_are_read_back() {
    for half in [Half::First, Half::Second, Half::All] {
        assert_eq!(half.to_string().parse(), Ok(half));
        assert_eq!(half.other().other(), half);
    }
    let error = "third".parse::<Half>().unwrap_err().to_string();
    assert!(error.contains("first, second and all"), "{error}");
}

#[test]
fn another_seed_makes_other_halves() {
    let classes = vec![Some(0); 100];
    let of = |seed| Half::First.samples(&classes, seed);
    assert_eq!(of(1), of(1));
    assert_ne!(of(1), of(2));
    // Two halves of independent seeds share about half of their samples.
    let shared = of(1).iter().filter(|sample| of(2).contains(sample)).count();
    assert!((10..=40).contains(&shared), "{shared} of 50");
}

proptest! {
    #[test]
    fn halves_share_nothing_cover_all_and_are_stratified(
        classes in proptest::collection::vec(proptest::option::of(0i32..5), 0..200), seed: u64,
    ) {
        let [first, second] = [Half::First, Half::Second].map(|half| half.samples(&classes, seed));
        let mut both = [first.clone(), second.clone()].concat();
        both.sort_unstable();
        prop_assert_eq!(&both, &Half::All.samples(&classes, seed));
        prop_assert_eq!(both.len(), classes.len());
        prop_assert!(first.len() - second.len() <= 1);
        for class in [None].into_iter().chain((0..5).map(Some)) {
            let count = |half: &[usize]| half.iter().filter(|&&s| classes[s] == class).count();
            prop_assert!(count(&first).abs_diff(count(&second)) <= 1, "class {:?}", class);
        }
    }
}
