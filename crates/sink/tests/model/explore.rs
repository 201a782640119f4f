//! How many interleavings of a model are gone through, and of what kind.

use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, Runner};

/// How often threads change at most where that is rare, beside where they wait.
const NUM_CHANGES: usize = 3;

/// How many times as many interleavings the long form has.
const LONG: usize = 20;

/// What the encoder of part files needs, unoptimised.
const STACK_BYTES: usize = 1 << 20;

/// Goes through so many interleavings at random, and as many in which threads change rarely and at any moment.
pub(crate) fn explore(number: usize, model: impl Fn() + Copy + Send + Sync + 'static) {
    let is_long = std::env::var_os("STRATIGRAPH_LONG").is_some_and(|value| !value.is_empty());
    let number = number * if is_long { LONG } else { 1 };
    let mut config = Config::new();
    config.stack_size = STACK_BYTES;
    Runner::new(RandomScheduler::new(number), config.clone()).run(model);
    Runner::new(PctScheduler::new(NUM_CHANGES, number), config).run(model);
}
