//! A picture of a run.

use pictures::Picture;
use pictures::chart::Theme;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::arguments::chosen;
use crate::error::query;

/// What a picture shows, to be drawn in several ways.
#[pyclass(module = "stratigraph_nn._native", frozen)]
pub(super) struct Chart(pub(super) pictures::chart::Chart);

#[pymethods]
impl Chart {
    /// The bytes of a file: `format` is svg, png or html, `theme` light or dark, `scale` how many pixels a
    /// png has to one of 960 across, 1 to 4.
    fn draw<'py>(
        &self,
        py: Python<'py>,
        format: &str,
        theme: &str,
        scale: u8,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let formats = [Picture::Svg, Picture::Png, Picture::Html];
        let name = |picture| match picture {
            Picture::Svg => "svg",
            Picture::Png => "png",
            Picture::Html => "html",
        };
        let picture = chosen("format", format, formats, name)?;
        let theme = chosen("theme", theme, Theme::ALL, Theme::name)?;
        let scales = [1, 2, 3, 4];
        let scale = chosen("scale", &scale.to_string(), scales, |scale| {
            ["1", "2", "3", "4"][usize::from(scale) - 1]
        })?;
        let drawn = py.detach(|| picture.draw(&self.0, theme, scale));
        Ok(PyBytes::new(py, &drawn.map_err(query)?))
    }
}
