//! Colours that people tell apart who do not see all of them.

use kuva::plot::ColorMap;

/// Dark on light, or light on dark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Theme {
    /// Dark text on a light ground.
    #[default]
    Light,
    /// Light text on a dark ground.
    Dark,
}

/// How values become colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColourScale {
    /// From the smallest to the largest: viridis, which grows lighter evenly for every kind of colour
    /// vision and in grey.
    Sequential,
    /// From zero, the ground's grey, to the largest, blue; as the square root, so that little is told from
    /// nothing.
    Amount,
    /// Blue below zero, orange above it, the ground's grey at zero; as far to both sides as the value
    /// that is farthest from it.
    Diverging,
}

/// Okabe and Ito, "Color Universal Design" (2008): eight colours that are told apart with every kind of
/// colour vision. Yellow, the faintest on white, comes last; black (white on dark ground) is the text's.
const OKABE_ITO: [&str; 7] = [
    "#0072B2", "#D55E00", "#009E73", "#E69F00", "#56B4E9", "#CC79A7", "#F0E442",
];

/// The same with the dark blue, which dark ground swallows, after the light one.
const OKABE_ITO_ON_DARK: [&str; 7] = [
    "#56B4E9", "#E69F00", "#009E73", "#F0E442", "#CC79A7", "#D55E00", "#0072B2",
];

impl Theme {
    /// Every theme.
    pub const ALL: [Theme; 2] = [Theme::Light, Theme::Dark];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Theme::Light => "light",
            Theme::Dark => "dark",
        }
    }

    /// The theme of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Theme::ALL.into_iter().find(|theme| theme.name() == name)
    }

    pub(super) fn ground(self) -> &'static str {
        match self {
            Theme::Light => "#ffffff",
            Theme::Dark => "#1b1d21",
        }
    }

    pub(super) fn text(self) -> &'static str {
        match self {
            Theme::Light => "#1a1a1a",
            Theme::Dark => "#ececec",
        }
    }

    /// Text of less weight.
    pub(super) fn muted(self) -> &'static str {
        match self {
            Theme::Light => "#555555",
            Theme::Dark => "#b4b4b4",
        }
    }

    /// Lines that only guide the eye.
    pub(super) fn grid(self) -> &'static str {
        match self {
            Theme::Light => "#dddddd",
            Theme::Dark => "#3a3d43",
        }
    }

    /// A cell without a value.
    pub(super) fn missing(self) -> &'static str {
        match self {
            Theme::Light => "#dcdcdc",
            Theme::Dark => "#45484e",
        }
    }

    /// What is zero between blue and orange.
    fn middle(self) -> [u8; 3] {
        match self {
            Theme::Light => [0xf4, 0xf4, 0xf4],
            Theme::Dark => [0x26, 0x28, 0x2d],
        }
    }

    /// The ends of the scale around zero: Okabe and Ito's blue and vermillion, or sky blue and orange.
    fn ends(self) -> [[u8; 3]; 2] {
        match self {
            Theme::Light => [[0x00, 0x5a, 0x8d], [0xc2, 0x4e, 0x00]],
            Theme::Dark => [[0x56, 0xb4, 0xe9], [0xe6, 0x9f, 0x00]],
        }
    }

    /// The colour of the `index`-th series.
    pub(super) fn series(self, index: usize) -> &'static str {
        match self {
            Theme::Light => OKABE_ITO[index % OKABE_ITO.len()],
            Theme::Dark => OKABE_ITO_ON_DARK[index % OKABE_ITO_ON_DARK.len()],
        }
    }

    /// How many series have a colour of their own; further ones need another shape as well.
    pub(super) const NUM_SERIES: usize = OKABE_ITO.len();

    /// The colours of what is below and above zero.
    pub(super) fn signs(self) -> [String; 2] {
        self.ends().map(hex)
    }
}

impl ColourScale {
    /// The colour of a value, where values go from `low` to `high`.
    pub(super) fn colour(self, value: f64, (low, high): (f64, f64), theme: Theme) -> String {
        if !value.is_finite() {
            return theme.missing().to_owned();
        }
        match self {
            ColourScale::Sequential => {
                let span = high - low;
                let part = if span > 0.0 {
                    (value - low) / span
                } else {
                    0.5
                };
                ColorMap::Viridis.map(part)
            }
            ColourScale::Amount => {
                let part = if high > 0.0 { value / high } else { 0.0 };
                let [full, _] = theme.ends();
                hex(mixed(theme.middle(), full, part.clamp(0.0, 1.0).sqrt()))
            }
            ColourScale::Diverging => {
                let reach = low.abs().max(high.abs());
                let part = if reach > 0.0 { value / reach } else { 0.0 };
                let [below, above] = theme.ends();
                let end = if part < 0.0 { below } else { above };
                hex(mixed(theme.middle(), end, part.abs().min(1.0)))
            }
        }
    }

    /// `count` colours, evenly from the lowest value to the highest.
    pub(super) fn colours(
        self,
        count: usize,
        (low, high): (f64, f64),
        theme: Theme,
    ) -> Vec<String> {
        let last = count.saturating_sub(1).max(1) as f64;
        (0..count)
            .map(|index| {
                let value = low + (high - low) * index as f64 / last;
                self.colour(value, (low, high), theme)
            })
            .collect()
    }
}

fn mixed(from: [u8; 3], to: [u8; 3], part: f64) -> [u8; 3] {
    std::array::from_fn(|i| {
        let (from, to) = (f64::from(from[i]), f64::from(to[i]));
        (from + (to - from) * part).round() as u8
    })
}

fn hex([red, green, blue]: [u8; 3]) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

/// Black or white, whichever is read more easily on `colour`, `#rrggbb` (contrast by WCAG 2's relative
/// luminance).
pub(super) fn text_on(colour: &str) -> &'static str {
    let channel = |at: usize| {
        let digits = colour.get(at..at + 2).unwrap_or("00");
        let value = f64::from(u8::from_str_radix(digits, 16).unwrap_or(0)) / 255.0;
        match value <= 0.04045 {
            true => value / 12.92,
            false => ((value + 0.055) / 1.055).powf(2.4),
        }
    };
    let luminance = 0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5);
    // Where both have the same contrast: (1 + 0.05) / (l + 0.05) = (l + 0.05) / 0.05.
    match luminance > 0.179 {
        true => "#000000",
        false => "#ffffff",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_the_middle_and_the_farthest_value_is_at_an_end() {
        let colour = |value| ColourScale::Diverging.colour(value, (-1.0, 4.0), Theme::Light);
        assert_eq!(colour(0.0), "#f4f4f4");
        assert_eq!(colour(4.0), "#c24e00");
        // As far below zero as the scale reaches above it.
        assert_eq!(colour(-4.0), "#005a8d");
        assert_eq!(colour(f64::NAN), Theme::Light.missing());
    }

    #[test]
    fn viridis_goes_from_the_smallest_to_the_largest() {
        let colours = ColourScale::Sequential.colours(3, (2.0, 6.0), Theme::Dark);
        assert_eq!(colours[0], "#440154");
        assert_eq!(colours[2], "#fde725");
        // All alike are neither small nor large.
        let alike = ColourScale::Sequential.colour(1.0, (1.0, 1.0), Theme::Light);
        assert_eq!(
            alike,
            ColourScale::Sequential.colour(4.0, (2.0, 6.0), Theme::Light)
        );
    }

    #[test]
    fn an_amount_of_nothing_is_the_ground_and_little_is_seen() {
        let colour = |value| ColourScale::Amount.colour(value, (0.0, 4.0), Theme::Light);
        assert_eq!(colour(0.0), "#f4f4f4");
        assert_eq!(colour(4.0), "#005a8d");
        // A quarter goes half of the way: (f4 + 00) / 2, (f4 + 5a) / 2, (f4 + 8d) / 2.
        assert_eq!(colour(1.0), "#7aa7c1");
        let nothing = ColourScale::Amount.colour(0.0, (0.0, 0.0), Theme::Dark);
        assert_eq!(nothing, "#26282d");
    }

    #[test]
    fn text_is_read_on_both_ends_of_a_scale() {
        assert_eq!(text_on("#440154"), "#ffffff");
        assert_eq!(text_on("#fde725"), "#000000");
    }
}
