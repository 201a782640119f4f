//! Lines over a common quantity.

use kuva::plot::{LinePlot, LineStyle, ScatterPlot};
use kuva::render::plots::Plot;
use kuva::render::render::Scene;

use super::frame::{layout, rendered, span};
use crate::chart::image::WIDTH;
use crate::chart::image::text::plain;
use crate::chart::{Line, Panel, Theme, Ticks};

/// The most points of a line that are marked.
const MAX_MARKED: usize = 40;

pub(super) fn scene(panel: &Panel, lines: &[Line], theme: Theme) -> Scene {
    let mut plots: Vec<Plot> = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let colour = theme.series(index);
        let points = || line.points.iter().map(|&[x, y]| (x, y));
        // Told apart without colour as well.
        let style = [LineStyle::Solid, LineStyle::Dashed, LineStyle::Dotted][index % 3].clone();
        plots.push(Plot::Line(
            LinePlot::new()
                .with_data(points())
                .with_color(colour)
                .with_stroke_width(2.5)
                .with_line_style(style)
                .with_legend(plain(&line.name)),
        ));
        if line.points.len() <= MAX_MARKED {
            let marks = ScatterPlot::new().with_data(points());
            plots.push(Plot::Scatter(marks.with_color(colour).with_size(3.5)));
        }
    }
    let mut layout = layout(panel, &plots, (WIDTH, 350.0), theme);
    if panel.x.ticks == Ticks::Whole
        && let Some((low, high)) = span(lines.iter().flat_map(|line| &line.points), 0)
    {
        // Marks at the ends are drawn whole; a single point stands in the middle.
        let around = if high > low { (high - low) / 60.0 } else { 1.0 };
        layout = layout
            .with_x_axis_min(low - around)
            .with_x_axis_max(high + around)
            .with_x_tick_step(whole_step(high - low));
    }
    if panel.y.ticks == Ticks::Shares {
        layout = layout.with_clamp_y_axis();
    }
    rendered(panel, plots, layout).0
}

/// The distance between whole-numbered ticks of which there are about eight: 1, 2, 5, 10, ...
fn whole_step(span: f64) -> f64 {
    let rough = (span / 8.0).max(1.0);
    let power = 10_f64.powf(rough.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * power);
    let fits = steps.into_iter().find(|step| *step >= rough);
    fits.unwrap_or(10.0 * power)
}

#[cfg(test)]
mod tests {
    use super::whole_step;

    #[test]
    fn whole_numbered_ticks_are_about_eight() {
        assert_eq!(whole_step(0.0), 1.0);
        assert_eq!(whole_step(7.0), 1.0);
        assert_eq!(whole_step(19.0), 5.0);
        assert_eq!(whole_step(99.0), 20.0);
        assert_eq!(whole_step(999.0), 200.0);
    }
}
