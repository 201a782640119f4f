//! What a silenced neuron says.

use std::fmt;

/// What the value of a silenced neuron is, for every sample; of a convolution, at every position.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Silencing {
    /// Zero.
    Zero,
    /// The mean of its values over all held-out samples, and positions: what it says when it says
    /// nothing about a sample.
    Mean,
    /// What it was, times a factor.
    Scale(f64),
    /// A value of somebody's choice, the same for all silenced neurons.
    Set(f64),
}

/// Why a way of silencing cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SilencingError {
    /// There is no mode of that name.
    #[error("there is no mode {0:?}: there are {modes}", modes = Silencing::MODES.join(", "))]
    NoSuchMode(String),
    /// A mode lacks its number.
    #[error("mode {mode} needs a {number}")]
    Missing {
        /// The mode.
        mode: &'static str,
        /// What its number is called.
        number: &'static str,
    },
    /// A number is given that the mode has no use for.
    #[error("a {number} goes with mode {mode}")]
    Unused {
        /// The mode that it goes with.
        mode: &'static str,
        /// What the number is called.
        number: &'static str,
    },
    /// A number is not finite.
    #[error("the {0} is no finite number")]
    NotFinite(&'static str),
}

impl Silencing {
    /// The names of all modes.
    pub const MODES: [&'static str; 4] = ["zero", "mean", "scale", "set"];

    /// The way of a name, with the number that it goes with: `scale` has a factor, `set` a value.
    ///
    /// # Errors
    /// If there is no such mode, or its number is not given, or one is that it has no use for, or that is
    /// not finite.
    pub fn try_new(
        mode: &str,
        factor: Option<f64>,
        value: Option<f64>,
    ) -> Result<Self, SilencingError> {
        let number = |mode, number, given: Option<f64>| match given {
            None => Err(SilencingError::Missing { mode, number }),
            Some(given) if !given.is_finite() => Err(SilencingError::NotFinite(number)),
            Some(given) => Ok(given),
        };
        let silencing = match mode {
            "zero" => Self::Zero,
            "mean" => Self::Mean,
            "scale" => Self::Scale(number("scale", "factor", factor)?),
            "set" => Self::Set(number("set", "value", value)?),
            other => return Err(SilencingError::NoSuchMode(other.to_owned())),
        };
        for (mode, number, is_given) in [
            ("scale", "factor", factor.is_some()),
            ("set", "value", value.is_some()),
        ] {
            if is_given && silencing.name() != mode {
                return Err(SilencingError::Unused { mode, number });
            }
        }
        Ok(silencing)
    }

    /// Its name: on the command line and in the table `ablations`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Zero => "zero",
            Self::Mean => "mean",
            Self::Scale(_) => "scale",
            Self::Set(_) => "set",
        }
    }

    /// What values are multiplied by, where they are.
    pub fn factor(self) -> Option<f64> {
        match self {
            Self::Scale(factor) => Some(factor),
            Self::Zero | Self::Mean | Self::Set(_) => None,
        }
    }

    /// What values are set to, where somebody chose it.
    pub fn value(self) -> Option<f64> {
        match self {
            Self::Set(value) => Some(value),
            Self::Zero | Self::Mean | Self::Scale(_) => None,
        }
    }
}

impl fmt::Display for Silencing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Zero => f.write_str("set to zero"),
            Self::Mean => f.write_str("set to their means"),
            Self::Scale(factor) => write!(f, "scaled by {factor}"),
            Self::Set(value) => write!(f, "set to {value}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_given_exactly_where_a_mode_uses_it() {
        let all = [
            ("zero", None, None, Ok(Silencing::Zero)),
            ("mean", None, None, Ok(Silencing::Mean)),
            ("scale", Some(-0.5), None, Ok(Silencing::Scale(-0.5))),
            ("set", None, Some(2.0), Ok(Silencing::Set(2.0))),
            ("scale", None, None, Err("mode scale needs a factor")),
            ("set", None, None, Err("mode set needs a value")),
            (
                "set",
                Some(1.0),
                Some(2.0),
                Err("a factor goes with mode scale"),
            ),
            ("zero", None, Some(2.0), Err("a value goes with mode set")),
            (
                "scale",
                Some(f64::NAN),
                None,
                Err("the factor is no finite number"),
            ),
            (
                "off",
                None,
                None,
                Err("there is no mode \"off\": there are zero, mean, scale, set"),
            ),
        ];
        for (mode, factor, value, expected) in all {
            let made = Silencing::try_new(mode, factor, value).map_err(|error| error.to_string());
            assert_eq!(made, expected.map_err(str::to_owned), "{mode}");
        }
    }

    #[test]
    fn every_mode_is_listed_with_its_number() {
        let all = [
            Silencing::Zero,
            Silencing::Mean,
            Silencing::Scale(0.5),
            Silencing::Set(3.0),
        ];
        assert_eq!(all.map(Silencing::name), Silencing::MODES);
        assert_eq!(all.map(Silencing::factor), [None, None, Some(0.5), None]);
        assert_eq!(all.map(Silencing::value), [None, None, None, Some(3.0)]);
    }
}
