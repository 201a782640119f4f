use super::*;

// Computed by an implementation of ChaCha8 of another language, checked against the published
// zero-key vector: the key layout and the use of the bits are what a seed means.
#[test]
fn the_stream_is_chacha8_of_seed_purpose_epoch_and_step() {
    let mut rng = HostRng::new(42, Purpose::Shuffle, Epoch(3), 7);
    let scaled = |n: u32| n as f32 / 16_777_216.0;
    assert_eq!(rng.uniform(), scaled(742_486));
    assert_eq!(rng.uniform(), scaled(2_241_356));
    assert_eq!(rng.uniform(), scaled(3_974_204));
}

#[test]
fn a_permutation_is_what_fisher_yates_makes_of_the_stream() {
    let order = HostRng::new(42, Purpose::Shuffle, Epoch(3), 0).permutation(8);
    assert_eq!(order, [0, 7, 5, 4, 3, 6, 1, 2]);
}

#[test]
fn every_part_of_the_key_changes_the_stream() {
    let first =
        |seed, purpose, epoch, step| HostRng::new(seed, purpose, Epoch(epoch), step).uniform();
    let base = first(1, Purpose::Shuffle, 0, 0);
    assert_ne!(base, first(2, Purpose::Shuffle, 0, 0));
    assert_ne!(base, first(1, Purpose::TrainSamples, 0, 0));
    assert_ne!(base, first(1, Purpose::Shuffle, 1, 0));
    assert_ne!(base, first(1, Purpose::Shuffle, 0, 1));
}

#[test]
fn uniform_floats_fill_their_range() {
    let mut rng = HostRng::for_run(5, Purpose::InitialWeights);
    let drawn: Vec<f32> = (0..10_000).map(|_| rng.uniform_within(0.25)).collect();
    assert!(drawn.iter().all(|x| (-0.25..0.25).contains(x)));
    assert!(drawn.iter().any(|&x| x < -0.249) && drawn.iter().any(|&x| x > 0.249));
    // The mean's standard deviation is 0.25 / sqrt(3 * 10,000) = 0.0014.
    assert!((drawn.iter().sum::<f32>() / 10_000.0).abs() < 0.009);
}
