//! Curves one above the other, each on a line of its own.

use kuva::plot::{BandPlot, LinePlot};
use kuva::render::plots::Plot;
use kuva::render::render::{Scene, TextAnchor};

use super::frame::{TICK_SIZE, layout, rendered, span};
use crate::chart::image::WIDTH;
use crate::chart::image::text::{plain, text};
use crate::chart::{ColourScale, Panel, Ridge, Theme};

pub(super) fn scene(panel: &Panel, ridges: &[Ridge], theme: Theme) -> Scene {
    let bases = (0.0, ridges.len().saturating_sub(1) as f64);
    let mut plots: Vec<Plot> = Vec::new();
    // From the back to the front; kuva's categories stand at 1, 2, ...
    for ridge in ridges.iter().rev() {
        let base = ridge.base + 1.0;
        let colour = ColourScale::Sequential.colour(ridge.base, bases, theme);
        let x = ridge.points.iter().map(|point| point[0]);
        let top = ridge.points.iter().map(|point| base + point[1]);
        let bottom = vec![base; ridge.points.len()];
        let band = BandPlot::new(x.clone(), bottom, top.clone());
        plots.push(Plot::Band(band.with_color(colour).with_opacity(0.85)));
        let line = LinePlot::new().with_data(x.zip(top));
        plots.push(Plot::Line(
            line.with_color(theme.text()).with_stroke_width(1.2),
        ));
    }
    let top = ridges.iter().flat_map(|ridge| {
        let heights = ridge.points.iter().map(|point| point[1]);
        heights.map(|height| ridge.base + 1.0 + height)
    });
    let top = top.fold(bases.1 + 1.0, f64::max);
    let height = 135.0 + 44.0 * (top - 1.0);
    let mut layout = layout(panel, &plots, (WIDTH, height), theme)
        .with_y_categories(panel.y.name_list().iter().map(|name| plain(name)).collect())
        .with_y_axis_min(0.8)
        .with_y_axis_max(top + 0.1);
    let points = ridges.iter().flat_map(|ridge| &ridge.points);
    if let Some((low, high)) = span(points, 0).filter(|(low, high)| high > low) {
        layout = layout.with_x_axis_min(low).with_x_axis_max(high);
    }
    let (mut scene, computed) = rendered(panel, plots, layout);
    for ridge in ridges {
        let Some(remark) = &ridge.remark else {
            continue;
        };
        let x = computed.width - computed.margin_right - 4.0;
        let y = computed.map_y(ridge.base + 1.0) - 4.0;
        let muted = Some(theme.muted());
        scene.add(text(x, y, remark, TICK_SIZE, TextAnchor::End, muted));
    }
    scene
}
