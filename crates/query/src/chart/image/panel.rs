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

/// Above a grid of cells, where its legend is written.
const CELLS_TOP: f64 = 40.0;

/// The most points of a line that are marked.
const MAX_MARKED: usize = 40;

pub(super) fn scene(panel: &Panel, theme: Theme) -> Scene {
    match &panel.content {
        Content::Lines(lines) => draw_lines(panel, lines, theme),
        Content::Ridges(ridges) => draw_ridges(panel, ridges, theme),
        Content::Cells(cells) => draw_cells(panel, cells, theme),
        Content::Points(groups) => draw_points(panel, groups, theme),
        Content::Graph(graph) => graph::scene(graph, theme),
    }
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
        .with_x_label(plain(&panel.x.label))
        .with_y_label(plain(&panel.y.label));
    if let Some(title) = &panel.title {
        layout = layout.with_title(plain(title));
    }
    if let Some(format) = tick_format(&panel.x.ticks) {
        layout = layout.with_x_tick_format(format);
    }
    if let Some(format) = tick_format(&panel.y.ticks) {
        layout = layout.with_y_tick_format(format);
    }
    layout
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
        Ticks::Whole => Some(TickFormat::Integer),
        Ticks::Shares => Some(TickFormat::Custom(Arc::new(|value| {
            format!("{} %", number(100.0 * value))
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
    let mut layout = layout(panel, &plots, (WIDTH, 330.0), theme);
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
    render_multiple(plots, layout)
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
    let height = 120.0 + 44.0 * (top - 1.0);
    let mut layout = layout(panel, &plots, (WIDTH, height), theme)
        .with_y_categories(panel.y.name_list().iter().map(|name| plain(name)).collect())
        .with_y_axis_min(0.8)
        .with_y_axis_max(top + 0.1);
    let points = ridges.iter().flat_map(|ridge| &ridge.points);
    if let Some((low, high)) = span(points, 0).filter(|(low, high)| high > low) {
        layout = layout.with_x_axis_min(low).with_x_axis_max(high);
    }
    let computed = ComputedLayout::from_layout(&layout);
    let mut scene = render_multiple(plots, layout);
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
    // Names that do not fit beside each other are turned, or, where there are many, left out in part.
    let longest_column = longest(columns) + 8.0;
    let turned = longest_column > column_width && columns.len() <= 40;
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
    let height = CELLS_TOP + below + row_height * rows.len() as f64;
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
    layout.force_margin_top = Some(CELLS_TOP);
    let computed = ComputedLayout::from_layout(&layout);
    let mut scene = render_multiple(plots, layout);
    write_into_cells(&mut scene, cells, &computed, theme);
    scene.add(Primitive::Text {
        x: computed.width - 6.0,
        y: CELLS_TOP - 12.0,
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

fn draw_points(panel: &Panel, groups: &[PointGroup], theme: Theme) -> Scene {
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
        0 => 600.0,
        count => 110.0 + 34.0 * count as f64,
    };
    let mut layout = layout(panel, &plots, (WIDTH, height), theme);
    if panel.y.ticks == Ticks::Shares {
        layout = layout.with_clamp_y_axis();
    }
    if !rows.is_empty() {
        layout = layout
            .with_y_categories(rows.iter().map(|name| plain(name)).collect())
            .with_y_axis_min(0.5)
            .with_y_axis_max(rows.len() as f64 + 0.5);
    }
    let computed = ComputedLayout::from_layout(&layout);
    let mut scene = render_multiple(plots, layout);
    let points: Vec<(f64, f64, Option<&str>)> = groups
        .iter()
        .flat_map(|group| &group.points)
        .map(|point| {
            let label = point.label.as_deref();
            (
                computed.map_x(point.x),
                computed.map_y(point.y + first),
                label,
            )
        })
        .collect();
    let plot = Area {
        left: computed.margin_left,
        top: computed.margin_top,
        right: computed.width - computed.margin_right,
        bottom: computed.height - computed.margin_bottom,
    };
    for (area, label) in labels(&points, size, plot) {
        scene.add(Primitive::Text {
            x: area.left,
            y: area.bottom - 3.0,
            content: plain(label),
            size: POINT_LABEL_SIZE,
            anchor: TextAnchor::Start,
            rotate: None,
            bold: false,
            color: None,
        });
    }
    scene
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

    fn holds(&self, other: &Area) -> bool {
        let across = self.left <= other.left && other.right <= self.right;
        across && self.top <= other.top && other.bottom <= self.bottom
    }
}

/// Where labels of points go: beside, above or below them, where no point and no other label is. What
/// has no such place is left out.
fn labels<'a>(
    points: &[(f64, f64, Option<&'a str>)],
    radius: f64,
    plot: Area,
) -> Vec<(Area, &'a str)> {
    let around = |x: f64, y: f64| Area {
        left: x - radius,
        top: y - radius,
        right: x + radius,
        bottom: y + radius,
    };
    let mut placed: Vec<(Area, &str)> = Vec::new();
    for &(x, y, label) in points {
        let Some(label) = label else { continue };
        let (width, height) = (
            text_width(label, POINT_LABEL_SIZE),
            f64::from(POINT_LABEL_SIZE) + 3.0,
        );
        let at = |left: f64, top: f64| Area {
            left,
            top,
            right: left + width,
            bottom: top + height,
        };
        let gap = radius + 2.0;
        let places = [
            at(x + gap, y - height / 2.0),
            at(x - gap - width, y - height / 2.0),
            at(x - width / 2.0, y - gap - height),
            at(x - width / 2.0, y + gap),
        ];
        let free = |area: &Area| {
            plot.holds(area)
                && placed.iter().all(|(other, _)| !area.meets(other))
                && points.iter().all(|&(x, y, _)| !area.meets(&around(x, y)))
        };
        if let Some(area) = places.into_iter().find(free) {
            placed.push((area, label));
        }
    }
    placed
}

#[cfg(test)]
mod tests {
    use super::{Area, labels, whole_step};

    #[test]
    fn labels_meet_neither_points_nor_each_other() {
        let plot = Area {
            left: 0.0,
            top: 0.0,
            right: 200.0,
            bottom: 200.0,
        };
        let placed = |points: &[(f64, f64, Option<&'static str>)]| -> Vec<(Area, &str)> {
            labels(points, 3.0, plot)
        };
        // Beside the point where that is free, else on its other side.
        let alone = placed(&[(50.0, 50.0, Some("a"))]);
        assert!(alone[0].0.left > 50.0);
        let beside = placed(&[(50.0, 50.0, Some("a")), (60.0, 50.0, None)]);
        assert!(beside[0].0.right < 50.0);
        // Not out of the plot.
        let at_the_edge = placed(&[(199.0, 50.0, Some("a"))]);
        assert!(at_the_edge[0].0.right < 199.0);
        // Of many in one place not all are written.
        let crowd: Vec<_> = (0..20)
            .map(|i| (50.0 + f64::from(i % 5), 50.0, Some("label")))
            .collect();
        let written = placed(&crowd);
        assert!(!written.is_empty() && written.len() < 20, "{written:?}");
        for (index, (area, _)) in written.iter().enumerate() {
            assert!(written[..index].iter().all(|(other, _)| !area.meets(other)));
        }
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
