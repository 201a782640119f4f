use trace::Epoch;

use super::*;

#[test]
fn random_units_follow_from_seed_and_draw() {
    let draw =
        |seed, draw| HostRng::new(seed, Purpose::SilencedUnits, Epoch(3), draw).choose(20, 5);
    assert_eq!(draw(1, 0), draw(1, 0));
    assert_ne!(draw(1, 0), draw(1, 1));
    assert_ne!(draw(1, 0), draw(2, 0));
    let mut counts = [0; 20];
    for n in 0..2000 {
        let units = draw(1, n);
        assert!(units.is_sorted_by(|a, b| a < b), "{units:?}");
        units.iter().for_each(|&unit| counts[unit] += 1);
    }
    // Six standard deviations of a binomial with n = 2000 and p = 1/4 are 116.
    assert!(counts.iter().all(|n| (384..=616).contains(n)), "{counts:?}");
}
