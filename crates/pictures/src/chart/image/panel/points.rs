//! Groups of points, with their intervals and labels.

use kuva::plot::{MarkerShape, ScatterPlot};
use kuva::render::color::Color;
use kuva::render::layout::{ComputedLayout, Layout};
use kuva::render::plots::Plot;
use kuva::render::render::{Primitive, Scene, TextAnchor};

use super::frame::{layout, rendered, span};
use super::labels::{Area, LABEL_SIZE, Label, Mark, labels};
use crate::chart::image::WIDTH;
use crate::chart::image::text::{plain, text};
use crate::chart::{Panel, PointGroup, Theme, Ticks};

/// The marks of groups; the colours begin anew with another shape.
const SHAPES: [MarkerShape; 4] = [
    MarkerShape::Circle,
    MarkerShape::Triangle,
    MarkerShape::Square,
    MarkerShape::Diamond,
];

/// The points, and how many of their labels are left out.
pub(super) fn scene(panel: &Panel, groups: &[PointGroup], theme: Theme) -> (Scene, Option<String>) {
    let num_points: usize = groups.iter().map(|group| group.points.len()).sum();
    let size = if num_points > 400 { 3.0 } else { 4.5 };
    // kuva's categories stand at 1, 2, ...
    let first = if panel.y.name_list().is_empty() {
        0.0
    } else {
        1.0
    };
    let plots = plots(groups, size, first, theme);
    let layout = layout_of(panel, groups, &plots, theme);
    let (mut scene, computed) = rendered(panel, plots, layout);
    let marks = marks(groups, first, &computed);
    let plot = Area {
        left: computed.margin_left,
        top: computed.margin_top,
        right: computed.width - computed.margin_right,
        bottom: computed.height - computed.margin_bottom,
    };
    let written = labels(&marks, size, plot);
    let num_labels = marks.iter().filter(|mark| mark.label.is_some()).count();
    let note = (written.len() < num_labels).then(|| {
        let left_out = num_labels - written.len();
        format!("{left_out} of {num_labels} labels would meet others or points, and are left out.")
    });
    for label in &written {
        write_label(&mut scene, label, theme);
    }
    (scene, note)
}

/// A scatter plot a group; `size` is a mark's radius in pixels, `first` where the first row stands.
fn plots(groups: &[PointGroup], size: f64, first: f64, theme: Theme) -> Vec<Plot> {
    let plot_of = |(index, group): (usize, &PointGroup)| {
        let points = group.points.iter();
        let mut plot = ScatterPlot::new()
            .with_data(points.clone().map(|point| (point.x, point.y + first)))
            .with_color(theme.series(index))
            .with_marker(SHAPES[index / Theme::NUM_SERIES % SHAPES.len()])
            .with_size(size)
            .with_marker_opacity(0.8)
            .with_legend(plain(&group.name));
        if points.clone().any(|point| point.interval.is_some()) {
            plot = plot.with_x_err_asymmetric(points.map(|point| {
                let [from, to] = point.interval.unwrap_or([point.x; 2]);
                (point.x - from, to - point.x)
            }));
        }
        Plot::Scatter(plot)
    };
    groups.iter().enumerate().map(plot_of).collect()
}

fn layout_of(panel: &Panel, groups: &[PointGroup], plots: &[Plot], theme: Theme) -> Layout {
    let rows = panel.y.name_list();
    let height = match rows.len() {
        0 => 620.0,
        count => 130.0 + 46.0 * count as f64,
    };
    let mut layout = layout(panel, plots, (WIDTH, height), theme);
    if panel.y.ticks == Ticks::Shares {
        layout = layout.with_clamp_y_axis();
    }
    let mut points = groups.iter().flat_map(|group| &group.points);
    if points.any(|point| point.label.is_some())
        && let Some((low, high)) = span(reach(groups).iter(), 0)
    {
        // Room for the labels of what is at the right end.
        layout = layout.with_x_axis_max(high + 0.12 * (high - low).max(1e-9));
    }
    if !rows.is_empty() {
        layout = layout
            .with_y_categories(rows.iter().map(|name| plain(name)).collect())
            .with_y_axis_min(0.5)
            .with_y_axis_max(rows.len() as f64 + 0.5);
    }
    layout
}

/// Where the points are in the picture.
fn marks<'a>(groups: &'a [PointGroup], first: f64, computed: &ComputedLayout) -> Vec<Mark<'a>> {
    let points = groups.iter().flat_map(|group| &group.points);
    let marks = points.map(|point| Mark {
        x: computed.map_x(point.x),
        y: computed.map_y(point.y + first),
        reach: point
            .interval
            .unwrap_or([point.x; 2])
            .map(|x| computed.map_x(x)),
        label: point.label.as_deref(),
    });
    marks.collect()
}

fn write_label(scene: &mut Scene, label: &Label<'_>, theme: Theme) {
    if let Some([from, to]) = label.leader {
        scene.add(Primitive::Line {
            x1: from.0,
            y1: from.1,
            x2: to.0,
            y2: to.1,
            stroke: Color::from(theme.muted()),
            stroke_width: 0.8,
            stroke_dasharray: None,
        });
    }
    let (x, y) = (label.area.left, label.area.bottom - 3.0);
    let start = TextAnchor::Start;
    scene.add(text(x, y, label.text, LABEL_SIZE, start, None));
}

/// The points, and the ends of the intervals around them.
fn reach(groups: &[PointGroup]) -> Vec<[f64; 2]> {
    let points = groups.iter().flat_map(|group| &group.points);
    let all = points.flat_map(|point| {
        let [from, to] = point.interval.unwrap_or([point.x; 2]);
        [from, point.x, to].map(|x| [x, point.y])
    });
    all.collect()
}
