//! Chances that are the same in every session: SplitMix64 (Steele, Lea and Flood, 2014).

use std::time::Duration;

/// A seeded source of chances.
pub struct Dice(u64);

impl Dice {
    /// Chances for a purpose: those of `STRATIGRAPH_SEED`, or of 0.
    pub fn of(purpose: u64) -> Self {
        let seed = number_of("STRATIGRAPH_SEED").unwrap_or(0);
        let mut dice = Self(seed.wrapping_mul(1 << 32) ^ purpose);
        dice.next();
        dice
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// One of several.
    pub fn choose<T: Copy>(&mut self, among: &[T]) -> T {
        among[self.below(among.len() as u64) as usize]
    }

    /// A time below `limit`.
    pub fn time(&mut self, limit: Duration) -> Duration {
        Duration::from_nanos(self.below(limit.as_nanos() as u64))
    }
}

/// The number that a variable of the environment is set to.
pub fn number_of(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok()?;
    let number = value.parse();
    Some(number.unwrap_or_else(|_| panic!("{variable} is a number")))
}
