//! The arithmetic of the list aggregates: how one more list enters what a group knows.

/// An aggregate that treats every position of a list on its own.
///
/// A group knows, for each position, one or two numbers ("lanes") in `f64`, and how many lists it
/// has seen:
///
/// | fold | first lane | second lane |
/// |---|---|---|
/// | `Sum`, `Mean` | sum | |
/// | `Min`, `Max` | extreme | |
/// | `Var`, `VarSamp` | mean | sum of squared deviations from the mean |
///
/// The first list of a group becomes its first lane, and zeros its second one, for every fold.
/// Variance follows Welford (Technometrics 4, 1962) and, where two groups meet, Chan, Golub and
/// LeVeque (1979): the difference of the mean square and the squared mean would cancel where the
/// spread is small beside the mean, as of trained weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Fold {
    Mean,
    Sum,
    Var,
    VarSamp,
    Min,
    Max,
}

impl Fold {
    pub(super) const ALL: [Self; 6] = [
        Self::Mean,
        Self::Sum,
        Self::Var,
        Self::VarSamp,
        Self::Min,
        Self::Max,
    ];

    /// The function's name in SQL.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Mean => "vec_mean",
            Self::Sum => "vec_sum",
            Self::Var => "vec_var",
            Self::VarSamp => "vec_var_samp",
            Self::Min => "vec_min",
            Self::Max => "vec_max",
        }
    }

    /// Other names of the function, after those of SQL's own aggregates.
    pub(super) const fn aliases(self) -> &'static [&'static str] {
        match self {
            Self::Mean => &["vec_avg"],
            Self::Var => &["vec_var_pop"],
            Self::Sum | Self::VarSamp | Self::Min | Self::Max => &[],
        }
    }

    /// How many lists a group needs for a result; of fewer it is NULL.
    pub(super) const fn min_count(self) -> u64 {
        match self {
            Self::VarSamp => 2,
            Self::Mean | Self::Sum | Self::Var | Self::Min | Self::Max => 1,
        }
    }

    /// Whether a group keeps the second lane; it is an empty slice in the methods below where it
    /// does not.
    pub(super) const fn has_second_lane(self) -> bool {
        matches!(self, Self::Var | Self::VarSamp)
    }

    /// Adds one list; `count` includes it. All slices have the list's length.
    #[inline]
    pub(super) fn add<V: Copy + Into<f64>>(
        self,
        first: &mut [f64],
        second: &mut [f64],
        count: u64,
        list: &[V],
    ) {
        match self {
            Self::Sum | Self::Mean => zip_apply(first, list, |sum, value| sum + value),
            Self::Min => zip_apply(first, list, smaller),
            Self::Max => zip_apply(first, list, larger),
            Self::Var | Self::VarSamp => {
                let share = 1.0 / count as f64;
                for ((mean, squares), &value) in first.iter_mut().zip(second).zip(list) {
                    let value: f64 = value.into();
                    let deviation = value - *mean;
                    *mean += deviation * share;
                    *squares += deviation * (value - *mean);
                }
            }
        }
    }

    /// Adds what another group of `other_count` lists knows to this one's, of `count` lists so far.
    pub(super) fn merge(
        self,
        (first, second, count): (&mut [f64], &mut [f64], u64),
        (other_first, other_second, other_count): (&[f64], &[f64], u64),
    ) {
        match self {
            Self::Sum | Self::Mean | Self::Min | Self::Max => {
                self.add(first, second, count, other_first)
            }
            Self::Var | Self::VarSamp => {
                let (here, there) = (count as f64, other_count as f64);
                let share = there / (here + there);
                let others = other_first.iter().zip(other_second);
                for ((mean, squares), (&other_mean, &other_squares)) in
                    first.iter_mut().zip(second).zip(others)
                {
                    let deviation = other_mean - *mean;
                    *mean += deviation * share;
                    *squares += other_squares + deviation * deviation * here * share;
                }
            }
        }
    }

    /// Appends the result for a group of `count` lists.
    pub(super) fn finish(self, first: &[f64], second: &[f64], count: u64, result: &mut Vec<f32>) {
        match self {
            Self::Sum | Self::Min | Self::Max => {
                result.extend(first.iter().map(|&value| value as f32))
            }
            Self::Mean => result.extend(first.iter().map(|&sum| (sum / count as f64) as f32)),
            Self::Var | Self::VarSamp => {
                let divisor = match self {
                    Self::VarSamp => count.saturating_sub(1),
                    _ => count,
                };
                // An infinite value has no deviation from a mean, however the sums came to be.
                let variance = |(mean, squares): (&f64, &f64)| {
                    if mean.is_finite() {
                        squares / divisor as f64
                    } else {
                        f64::NAN
                    }
                };
                result.extend(first.iter().zip(second).map(|lanes| variance(lanes) as f32));
            }
        }
    }
}

#[inline]
fn zip_apply<V: Copy + Into<f64>>(lane: &mut [f64], list: &[V], apply: impl Fn(f64, f64) -> f64) {
    for (known, &value) in lane.iter_mut().zip(list) {
        *known = apply(*known, value.into());
    }
}

// `f64::min` and `f64::max` would drop a NaN.

#[inline]
fn smaller(known: f64, value: f64) -> f64 {
    if value < known || value.is_nan() {
        value
    } else {
        known
    }
}

#[inline]
fn larger(known: f64, value: f64) -> f64 {
    if value > known || value.is_nan() {
        value
    } else {
        known
    }
}
