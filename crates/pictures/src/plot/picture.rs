//! How a picture is written.

use std::path::Path;

use super::error::PlotError;
use crate::chart::{Chart, Theme, html};

/// How a picture is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Picture {
    /// A vector image.
    Svg,
    /// A raster image.
    Png,
    /// A page that can be zoomed into and pointed at, and needs no network.
    Html,
}

impl Picture {
    /// How a picture is written whose file has that suffix.
    pub fn from_suffix(path: &Path) -> Option<Self> {
        Some(
            match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
                "svg" => Picture::Svg,
                "png" => Picture::Png,
                "html" | "htm" => Picture::Html,
                _ => return None,
            },
        )
    }

    /// The bytes of a file with a chart; `scale` is how many pixels a raster image has to one of the
    /// picture's 960 across.
    ///
    /// # Errors
    /// If it cannot be drawn.
    pub fn draw(self, chart: &Chart, theme: Theme, scale: u8) -> Result<Vec<u8>, PlotError> {
        Ok(match self {
            Picture::Svg => chart.svg(theme).into_bytes(),
            Picture::Png => chart.png(theme, scale)?,
            Picture::Html => html::page(chart, theme).into_bytes(),
        })
    }
}
