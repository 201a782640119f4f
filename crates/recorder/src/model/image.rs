//! How a sample's inputs make an image.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A sample's inputs as an image: channel by channel, row by row. As text `28x28`, or `3x32x32` with
/// channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageShape {
    /// How many values a position has, as 1 for grey and 3 for colours.
    pub channels: usize,
    /// How many rows.
    pub height: usize,
    /// How many columns.
    pub width: usize,
}

/// Why a text is no image's shape.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no image: give height and width, as 28x28, or 3x32x32 with channels before them")]
pub struct ParseImageShapeError(String);

impl ImageShape {
    /// How many inputs it takes; none if there are more than can be counted.
    pub fn num_inputs(self) -> Option<usize> {
        let positions = self.height.checked_mul(self.width)?;
        self.channels.checked_mul(positions)
    }

    /// The shape of a tensor of any number of images.
    pub(super) fn of_batch(self) -> [i32; 4] {
        let [channels, height, width] = [self.channels, self.height, self.width]
            .map(|size| i32::try_from(size).expect("a layer's fan-in is larger, and was checked"));
        [-1, channels, height, width]
    }
}

impl FromStr for ImageShape {
    type Err = ParseImageShapeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseImageShapeError(text.to_owned());
        let sizes: Vec<usize> = text
            .split('x')
            .map(|size| size.parse().ok().filter(|&size| size > 0))
            .collect::<Option<_>>()
            .ok_or_else(error)?;
        let (channels, height, width) = match sizes[..] {
            [height, width] => (1, height, width),
            [channels, height, width] => (channels, height, width),
            _ => return Err(error()),
        };
        Ok(Self {
            channels,
            height,
            width,
        })
    }
}

impl fmt::Display for ImageShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            channels,
            height,
            width,
        } = self;
        match channels {
            1 => write!(f, "{height}x{width}"),
            _ => write!(f, "{channels}x{height}x{width}"),
        }
    }
}
