//! One panel by kuva: its marks, its axes, its legend.

use std::sync::Arc;

use kuva::plot::{BandPlot, ColorMap, Heatmap, LinePlot, LineStyle, MarkerShape, ScatterPlot};
use kuva::render::color::Color;
use kuva::render::layout::{ComputedLayout, Layout, TickFormat};
use kuva::render::plots::Plot;
use kuva::render::render::{Primitive, Scene, TextAnchor, render_multiple};
use kuva::render::theme::Theme as KuvaTheme;

use super::{WIDTH, graph, plain, text_width};
use crate::chart::colours::text_on;
use crate::chart::{
    Cells, ColourScale, Content, Line, Panel, PointGroup, Ridge, Theme, Ticks, number, thinned,
};

const TICK_SIZE: u32 = 12;
const LABEL_SIZE: u32 = 14;

/// Of what a colour bar and its labels take beside a grid.
const COLOUR_BAR_WIDTH: f64 = 110.0;

/// Above the axes, where it is written what goes up and down: kuva's raster backend blurs turned text.
const TOP: f64 = 36.0;

/// What a panel's title takes above that.
const TITLE_HEIGHT: f64 = 26.0;

/// The most points of a line that are marked.
const MAX_MARKED: usize = 40;

/// A panel, and what has to be said below the picture of how it came out.
pub(super) fn scene(panel: &Panel, theme: Theme) -> (Scene, Option<String>) {
    let scene = match &panel.content {
        Content::Lines(lines) => draw_lines(panel, lines, theme),
        Content::Ridges(ridges) => draw_ridges(panel, ridges, theme),
        Content::Cells(cells) => draw_cells(panel, cells, theme),
        Content::Points(groups) => return draw_points(panel, groups, theme),
        Content::Graph(graph) => graph::scene(graph, theme),
    };
    (scene, None)
}

/// A layout with what all panels have in common.
fn layout(panel: &Panel, plots: &[Plot], size: (f64, f64), theme: Theme) -> Layout {
    let mut layout = Layout::auto_from_plots(plots)
        .with_width(size.0)
        .with_height(size.1)
        .with_theme(kuva_theme(theme))
        .with_title_size(16)
        .with_label_size(LABEL_SIZE)
        .with_tick_size(TICK_SIZE)
        .with_body_size(TICK_SIZE)
        .with_legend_box(false)
        .with_x_label(plain(&panel.x.label));
    layout.force_margin_top = Some(TOP);
    if let Some(title) = &panel.title {
        layout = layout.with_title(plain(title));
        layout.height = layout.height.map(|height| height + TITLE_HEIGHT);
        layout.force_margin_top = Some(TOP + TITLE_HEIGHT);
    }
    if let Some(format) = tick_format(&panel.x.ticks) {
        layout = layout.with_x_tick_format(format);
    }
    if let Some(format) = tick_format(&panel.y.ticks) {
        layout = layout.with_y_tick_format(format);
    }
    layout
}

/// Draws plots, and above the axes what goes up and down.
fn rendered(panel: &Panel, plots: Vec<Plot>, layout: Layout) -> (Scene, ComputedLayout) {
    let computed = ComputedLayout::from_layout(&layout);
    let mut scene = render_multiple(plots, layout);
    // Above the ticks' labels, as a table's head; a longer one begins with them.
    let axis = computed.margin_left - computed.tick_label_margin;
    let room = axis - 4.0;
    let (x, anchor) = match text_width(&panel.y.label, LABEL_SIZE) <= room {
        true => (axis, TextAnchor::End),
        false => (
            4.0_f64.max(axis - computed.y_tick_label_px),
            TextAnchor::Start,
        ),
    };
    scene.add(Primitive::Text {
        x,
        y: computed.margin_top - 14.0,
        content: plain(&panel.y.label),
        size: LABEL_SIZE,
        anchor,
        rotate: None,
        bold: false,
        color: None,
    });
    (scene, computed)
}

fn kuva_theme(theme: Theme) -> KuvaTheme {
    KuvaTheme {
        background: theme.ground().to_owned(),
        axis_color: theme.muted().to_owned(),
        grid_color: theme.grid().to_owned(),
        tick_color: theme.muted().to_owned(),
        text_color: theme.text().to_owned(),
        legend_bg: theme.ground().to_owned(),
        legend_border: theme.grid().to_owned(),
        colorbar_border: theme.muted().to_owned(),
        font_family: Some(super::FONTS.to_owned()),
        ..KuvaTheme::light()
    }
}

fn tick_format(ticks: &Ticks) -> Option<TickFormat> {
    match ticks {
        Ticks::Numbers => Some(TickFormat::Custom(Arc::new(number))),
        Ticks::Powers => Some(TickFormat::Custom(Arc::new(|value| {
            Ticks::Powers.told(value)
        }))),
        Ticks::Whole => Some(TickFormat::Integer),
        // There is no more than all.
        Ticks::Shares => Some(TickFormat::Custom(Arc::new(|value| {
            match value > 1.0 + 1e-9 {
                true => String::new(),
                false => Ticks::Shares.told(value),
            }
        }))),
        Ticks::Names(_) => None,
    }
}

/// The distance between whole-numbered ticks of which there are about eight: 1, 2, 5, 10, ...
fn whole_step(span: f64) -> f64 {
    let rough = (span / 8.0).max(1.0);
    let power = 10_f64.powf(rough.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * power);
    let fits = steps.into_iter().find(|step| *step >= rough);
    fits.unwrap_or(10.0 * power)
}

fn draw_lines(panel: &Panel, lines: &[Line], theme: Theme) -> Scene {
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

/// The smallest and the largest of one coordinate.
fn span<'a>(points: impl Iterator<Item = &'a [f64; 2]>, coordinate: usize) -> Option<(f64, f64)> {
    points
        .map(|point| point[coordinate])
        .fold(None, |span, value| {
            let (low, high) = span.unwrap_or((value, value));
            Some((value.min(low), value.max(high)))
        })
}

fn draw_ridges(panel: &Panel, ridges: &[Ridge], theme: Theme) -> Scene {
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
        scene.add(Primitive::Text {
            x: computed.width - computed.margin_right - 4.0,
            y: computed.map_y(ridge.base + 1.0) - 4.0,
            content: plain(remark),
            size: TICK_SIZE,
            anchor: TextAnchor::End,
            rotate: None,
            bold: false,
            color: Some(Color::from(theme.muted())),
        });
    }
    scene
}

fn draw_cells(panel: &Panel, cells: &Cells, theme: Theme) -> Scene {
    let (columns, rows) = (panel.x.name_list(), panel.y.name_list());
    let longest = |names: &[String]| {
        let widths = names.iter().map(|name| text_width(name, TICK_SIZE));
        widths.fold(0.0, f64::max)
    };
    let margin = longest(rows) + 60.0;
    let room = WIDTH - margin - COLOUR_BAR_WIDTH;
    let column_width = (room / columns.len() as f64).min(64.0);
    let row_height = (560.0 / rows.len() as f64).clamp(3.0, 40.0);
    // Of names that do not fit beside each other every second one is written, longer ones are turned, and
    // where there are many, more are left out.
    let longest_column = longest(columns) + 8.0;
    let turned = longest_column > 2.0 * column_width && columns.len() <= 40;
    let per_column = if turned {
        f64::from(TICK_SIZE) + 4.0
    } else {
        longest_column
    };
    let columns_written = (column_width * columns.len() as f64 / per_column) as usize;
    let rows_written = (row_height * rows.len() as f64 / (f64::from(TICK_SIZE) + 1.0)) as usize;

    let (low, high) = cells.range().unwrap_or((0.0, 0.0));
    let scale = cells.scale;
    // kuva gives the place between the smallest and the largest value.
    let colour = move |part: f64| scale.colour(low + part * (high - low), (low, high), theme);
    let values = cells.values.iter().rev().map(|row| {
        let values = row.iter().map(|value| value.unwrap_or(f64::NAN));
        values.collect::<Vec<f64>>()
    });
    let heatmap = Heatmap::new()
        .with_data(values.collect::<Vec<_>>())
        .with_color_map(ColorMap::Custom(Arc::new(colour)))
        .with_cell_size(if row_height < 12.0 || column_width < 12.0 {
            1.0
        } else {
            0.96
        });
    let plots = vec![Plot::Heatmap(heatmap)];
    let width = (margin + COLOUR_BAR_WIDTH + column_width * columns.len() as f64).max(420.0);
    let below = if turned {
        longest_column * 0.72 + 50.0
    } else {
        60.0
    };
    let height = TOP + below + row_height * rows.len() as f64;
    let names = |names: &[String], room: usize| -> Vec<String> {
        let names = thinned(names, room);
        names.iter().map(|name| plain(name)).collect()
    };
    let mut rows_shown = names(rows, rows_written);
    rows_shown.reverse();
    let mut layout = layout(panel, &plots, (width, height), theme)
        .with_show_grid(false)
        .with_x_categories(names(columns, columns_written))
        .with_y_categories(rows_shown);
    if turned {
        layout = layout.with_x_tick_rotate(-45.0);
    }
    if let Some(format) = tick_format(&cells.ticks) {
        layout = layout.with_colorbar_tick_format(format);
    }
    let (mut scene, computed) = rendered(panel, plots, layout);
    write_into_cells(&mut scene, cells, &computed, theme);
    scene.add(Primitive::Text {
        x: computed.width - 6.0,
        y: computed.margin_top - 14.0,
        content: plain(&cells.legend),
        size: TICK_SIZE,
        anchor: TextAnchor::End,
        rotate: None,
        bold: false,
        color: None,
    });
    scene
}

fn write_into_cells(scene: &mut Scene, cells: &Cells, computed: &ComputedLayout, theme: Theme) {
    let Some(texts) = &cells.texts else {
        return;
    };
    for (row, (texts, values)) in texts.iter().zip(&cells.values).enumerate() {
        for (column, (text, value)) in texts.iter().zip(values).enumerate() {
            let colour = value.map(|value| cells.colour(value, theme));
            scene.add(Primitive::Text {
                x: computed.map_x(column as f64 + 1.0),
                y: computed.map_y((cells.values.len() - row) as f64) + f64::from(TICK_SIZE) * 0.36,
                content: plain(text),
                size: TICK_SIZE,
                anchor: TextAnchor::Middle,
                rotate: None,
                bold: false,
                color: colour.map(|colour| Color::from(text_on(&colour))),
            });
        }
    }
}

fn draw_points(panel: &Panel, groups: &[PointGroup], theme: Theme) -> (Scene, Option<String>) {
    const SHAPES: [MarkerShape; 4] = [
        MarkerShape::Circle,
        MarkerShape::Triangle,
        MarkerShape::Square,
        MarkerShape::Diamond,
    ];
    let num_points: usize = groups.iter().map(|group| group.points.len()).sum();
    let size = if num_points > 400 { 3.0 } else { 4.5 };
    let rows = panel.y.name_list();
    // kuva's categories stand at 1, 2, ...
    let first = if rows.is_empty() { 0.0 } else { 1.0 };
    let plots: Vec<Plot> = groups
        .iter()
        .enumerate()
        .map(|(index, group)| {
            let points = group.points.iter();
            // The colours begin anew with another shape.
            let shape = SHAPES[index / Theme::NUM_SERIES % SHAPES.len()];
            let mut plot = ScatterPlot::new()
                .with_data(points.clone().map(|point| (point.x, point.y + first)))
                .with_color(theme.series(index))
                .with_marker(shape)
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
        })
        .collect();
    let height = match rows.len() {
        0 => 620.0,
        count => 130.0 + 46.0 * count as f64,
    };
    let mut layout = layout(panel, &plots, (WIDTH, height), theme);
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
    let (mut scene, computed) = rendered(panel, plots, layout);
    let marks: Vec<Mark<'_>> = groups
        .iter()
        .flat_map(|group| &group.points)
        .map(|point| Mark {
            x: computed.map_x(point.x),
            y: computed.map_y(point.y + first),
            reach: point
                .interval
                .unwrap_or([point.x; 2])
                .map(|x| computed.map_x(x)),
            label: point.label.as_deref(),
        })
        .collect();
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
    for label in written {
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
        scene.add(Primitive::Text {
            x: label.area.left,
            y: label.area.bottom - 3.0,
            content: plain(label.text),
            size: POINT_LABEL_SIZE,
            anchor: TextAnchor::Start,
            rotate: None,
            bold: false,
            color: None,
        });
    }
    (scene, note)
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

const POINT_LABEL_SIZE: u32 = 11;

/// A rectangle of a picture, in pixels from its top left.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Area {
    left: f64,
    top: f64,
    right: f64,
    bottom: f64,
}

impl Area {
    fn meets(&self, other: &Area) -> bool {
        let across = self.left < other.right && other.left < self.right;
        across && self.top < other.bottom && other.top < self.bottom
    }

    /// Whether a line goes through it (Liang and Barsky, 1984).
    fn is_crossed_by(&self, [from, to]: [(f64, f64); 2]) -> bool {
        let (across, down) = (to.0 - from.0, to.1 - from.1);
        let sides = [
            (-across, from.0 - self.left),
            (across, self.right - from.0),
            (-down, from.1 - self.top),
            (down, self.bottom - from.1),
        ];
        let (mut enters, mut leaves) = (0.0_f64, 1.0_f64);
        for (direction, distance) in sides {
            if direction < 0.0 {
                enters = enters.max(distance / direction);
            } else if direction > 0.0 {
                leaves = leaves.min(distance / direction);
            } else if distance < 0.0 {
                return false;
            }
        }
        enters <= leaves
    }

    fn holds(&self, other: &Area) -> bool {
        let across = self.left <= other.left && other.right <= self.right;
        across && self.top <= other.top && other.bottom <= self.bottom
    }
}

/// A point with a label, or another that labels keep away from, in pixels.
#[derive(Debug, Clone, Copy)]
struct Mark<'a> {
    x: f64,
    y: f64,
    /// What a line through it reaches from and to.
    reach: [f64; 2],
    label: Option<&'a str>,
}

impl Mark<'_> {
    fn is_met_by(&self, area: &Area, radius: f64) -> bool {
        let around = |[from, to]: [f64; 2], half: f64| Area {
            left: from,
            top: self.y - half,
            right: to,
            bottom: self.y + half,
        };
        let point = around([self.x - radius, self.x + radius], radius);
        area.meets(&point) || area.meets(&around(self.reach, 1.0))
    }
}

/// A label where there is room for it.
#[derive(Debug, Clone, PartialEq)]
struct Label<'a> {
    area: Area,
    text: &'a str,
    /// The line from the point to a label that is not beside it.
    leader: Option<[(f64, f64); 2]>,
}

/// So many labels may stand at some distance, with lines to their points.
const MAX_LEADERS: usize = 24;

/// How far such a label is, in pixels.
const LEADER_LENGTHS: [f64; 3] = [14.0, 26.0, 40.0];

/// Where labels of points go: beside, above or below them, where no point and no other label is, and if
/// they are few, farther away with a line to the point. What has no such place is left out.
fn labels<'a>(marks: &[Mark<'a>], radius: f64, plot: Area) -> Vec<Label<'a>> {
    let num_labels = marks.iter().filter(|mark| mark.label.is_some()).count();
    let leaders: &[f64] = match num_labels <= MAX_LEADERS {
        true => &LEADER_LENGTHS,
        false => &[],
    };
    let mut placed: Vec<Label<'a>> = Vec::new();
    for mark in marks {
        let Some(text) = mark.label else { continue };
        let near = places(mark, text, radius + 2.0).map(|area| (area, false));
        let far = leaders.iter().flat_map(|length| {
            let places = places(mark, text, radius + length);
            places.map(|area| (area, true))
        });
        let leader = |area: &Area| {
            let x = mark.x.clamp(area.left, area.right);
            let y = mark.y.clamp(area.top, area.bottom);
            [(mark.x, mark.y), (x, y)]
        };
        let free = |(area, is_far): &(Area, bool)| {
            let of_others = |other: &Label<'_>| {
                area.meets(&other.area)
                    || other.leader.is_some_and(|line| area.is_crossed_by(line))
                    || (*is_far && other.area.is_crossed_by(leader(area)))
            };
            plot.holds(area)
                && !placed.iter().any(of_others)
                && marks.iter().all(|mark| !mark.is_met_by(area, radius))
        };
        if let Some((area, is_far)) = near.into_iter().chain(far).find(free) {
            placed.push(Label {
                area,
                text,
                leader: is_far.then(|| leader(&area)),
            });
        }
    }
    placed
}

/// The areas that a label may take: at some distance to each side, then at as much across.
fn places(mark: &Mark<'_>, text: &str, gap: f64) -> [Area; 8] {
    let (x, y) = (mark.x, mark.y);
    let (width, height) = (
        text_width(text, POINT_LABEL_SIZE),
        f64::from(POINT_LABEL_SIZE) + 3.0,
    );
    let at = |left: f64, top: f64| Area {
        left,
        top,
        right: left + width,
        bottom: top + height,
    };
    let slant = std::f64::consts::FRAC_1_SQRT_2 * gap;
    [
        at(x + gap, y - height / 2.0),
        at(x - gap - width, y - height / 2.0),
        at(x - width / 2.0, y - gap - height),
        at(x - width / 2.0, y + gap),
        at(x + slant, y - slant - height),
        at(x + slant, y + slant),
        at(x - slant - width, y - slant - height),
        at(x - slant - width, y + slant),
    ]
}

#[cfg(test)]
mod tests {
    use super::{Area, Label, Mark, labels, whole_step};

    const PLOT: Area = Area {
        left: 0.0,
        top: 0.0,
        right: 200.0,
        bottom: 200.0,
    };

    fn mark(x: f64, y: f64, label: Option<&str>) -> Mark<'_> {
        let reach = [x, x];
        Mark { x, y, reach, label }
    }

    fn placed<'a>(marks: &[Mark<'a>]) -> Vec<Label<'a>> {
        labels(marks, 3.0, PLOT)
    }

    #[test]
    fn labels_meet_neither_points_nor_each_other() {
        // Beside the point where that is free, else on its other side.
        let alone = placed(&[mark(50.0, 50.0, Some("a"))]);
        assert!(alone[0].area.left > 50.0);
        let beside = placed(&[mark(50.0, 50.0, Some("a")), mark(60.0, 50.0, None)]);
        assert!(beside[0].area.right < 50.0);
        // Not out of the plot.
        let at_the_edge = placed(&[mark(199.0, 50.0, Some("a"))]);
        assert!(at_the_edge[0].area.right < 199.0);
        // Nor over a line through another point.
        let reach = [10.0, 190.0];
        let line = Mark {
            reach,
            ..mark(150.0, 50.0, None)
        };
        let away = placed(&[mark(50.0, 50.0, Some("a")), line]);
        assert!(
            away[0].area.bottom < 50.0 || away[0].area.top > 50.0,
            "{away:?}"
        );
        // Of many in one place not all are written.
        let crowd: Vec<_> = (0..40)
            .map(|i| mark(50.0 + f64::from(i % 5), 50.0, Some("label")))
            .collect();
        let written = placed(&crowd);
        assert!(!written.is_empty() && written.len() < 20, "{written:?}");
        for (index, label) in written.iter().enumerate() {
            let before = &written[..index];
            assert!(before.iter().all(|other| !label.area.meets(&other.area)));
        }
    }

    #[test]
    fn a_line_crosses_an_area_that_it_goes_through() {
        let area = Area {
            left: 10.0,
            top: 10.0,
            right: 20.0,
            bottom: 20.0,
        };
        assert!(area.is_crossed_by([(0.0, 15.0), (30.0, 15.0)]));
        assert!(area.is_crossed_by([(5.0, 5.0), (12.0, 12.0)]));
        assert!(area.is_crossed_by([(15.0, 0.0), (15.0, 11.0)]));
        assert!(!area.is_crossed_by([(0.0, 15.0), (9.0, 15.0)]));
        assert!(!area.is_crossed_by([(0.0, 15.0), (15.0, 31.0)]));
        assert!(!area.is_crossed_by([(21.0, 0.0), (21.0, 30.0)]));
    }

    #[test]
    fn few_labels_that_have_no_room_beside_their_points_have_lines_to_them() {
        let mut crowd: Vec<Mark<'_>> = (0..49)
            .map(|i| {
                let (column, row) = (f64::from(i % 7), f64::from(i / 7));
                mark(80.0 + 6.0 * column, 80.0 + 6.0 * row, None)
            })
            .collect();
        crowd[23].label = Some("in the midst");
        let written = placed(&crowd);
        let [label] = written.as_slice() else {
            panic!("{written:?}")
        };
        let [from, to] = label.leader.unwrap();
        assert_eq!(from, (crowd[23].x, crowd[23].y));
        assert!(crowd.iter().all(|mark| !mark.is_met_by(&label.area, 3.0)));
        assert!(to.0 >= label.area.left && to.0 <= label.area.right);
    }

    #[test]
    fn whole_numbered_ticks_are_about_eight() {
        assert_eq!(whole_step(0.0), 1.0);
        assert_eq!(whole_step(7.0), 1.0);
        assert_eq!(whole_step(19.0), 5.0);
        assert_eq!(whole_step(99.0), 20.0);
        assert_eq!(whole_step(999.0), 200.0);
    }
}
