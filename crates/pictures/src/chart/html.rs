//! Charts in a browser, by ECharts: a page that needs no network, or figures for somebody else's page.
//!
//! A page has [`style`] in its head, as many [`figure`]s and [`film`]s as it likes, and [`script`] once,
//! behind them.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{
    Axis, Cells, Chart, Content, Graph, Line, Panel, PointGroup, Ridge, Theme, Ticks, number,
};
use crate::chart::colours::text_on;

/// Apache ECharts, with its licence in its first lines; `vendor/echarts` has the notices.
const ECHARTS: &str = include_str!("../../vendor/echarts/echarts.min.js");

/// What figures look like, in the theme's colours.
const STYLE: &str = include_str!("figure.css");

/// Draws what figures hold, and draws it anew when they change size.
const DRAW: &str = include_str!("draw.js");

/// What is to be said of points with labels.
const HIDDEN_LABELS: &str =
    "Labels that would overlap are hidden: zoom in, or rest the pointer on a point.";

/// What a grid of cells leaves of its panel's height, in pixels.
const AROUND_CELLS: usize = 150;

/// From one name of a row to the next, in pixels.
const NAME_PITCH: usize = 14;

/// More rows or columns than this have no rims around their cells.
const MAX_RIMMED: usize = 40;

/// How many colours a colour bar goes through.
const NUM_COLOURS: usize = 17;

/// A page with one chart, complete in itself.
pub fn page(chart: &Chart, theme: Theme) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{}</title>\n{}</head>\n<body>\n{}{}</body>\n</html>\n",
        escaped(&chart.title),
        style(theme),
        figure(chart, theme),
        script(),
    )
}

/// The style sheet of figures, as an element, with the theme's colours as `--ground`, `--text`, `--muted`,
/// `--grid`, `--missing` and `--accent`.
pub fn style(theme: Theme) -> String {
    format!(
        "<style>\n\
         :root {{ --ground: {}; --text: {}; --muted: {}; --grid: {}; --missing: {}; --accent: {}; }}\n\
         {STYLE}</style>\n",
        theme.ground(),
        theme.text(),
        theme.muted(),
        theme.grid(),
        theme.missing(),
        theme.series(0),
    )
}

/// ECharts and what draws the figures before it, as elements.
pub fn script() -> String {
    format!("<script>\n{ECHARTS}\n</script>\n<script>\n{DRAW}</script>\n")
}

/// A chart at one of several moments.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    /// The moment, as an epoch; they ascend.
    pub at: i64,
    /// What is shown then; the charts of a film have as many panels as each other.
    pub chart: Chart,
}

/// A chart, as an element that [`script`] draws.
pub fn figure(chart: &Chart, theme: Theme) -> String {
    element("h2", &[chart], "", theme)
}

/// Charts of the same at several moments, as an element in which a slider chooses one; at first it is the
/// last. The sliders of a page move together: each shows what there is of the moment that another one was
/// moved to, or of the last before it. Colours mean the same in all frames, and axes of numbers reach
/// equally far, so that what moves has changed. Of no frames it is nothing.
pub fn film(of: &str, frames: &[Frame], theme: Theme) -> String {
    let mut charts: Vec<Chart> = frames.iter().map(|frame| frame.chart.clone()).collect();
    let num_panels = charts.first().map_or(0, |chart| chart.panels.len());
    for panel in 0..num_panels {
        let grids = charts
            .iter_mut()
            .filter_map(|chart| match &mut chart.panels[panel].content {
                Content::Cells(cells) => Some(cells),
                _ => None,
            });
        let mut grids: Vec<&mut Cells> = grids.collect();
        let ranges = grids.iter().filter_map(|cells| cells.range());
        let all = ranges.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
        grids.iter_mut().for_each(|cells| cells.beyond = all);
    }
    let slider = match frames {
        [_, .., last] => {
            let moments: Vec<i64> = frames.iter().map(|frame| frame.at).collect();
            // Without the moment, which changes.
            let title = &last.chart.title;
            let title = title.strip_suffix(&format!(", {of} {}", last.at));
            format!(
                "<label class=\"chart-slider\">{of} <output>{at}</output> <input type=\"range\" autocomplete=\"off\" \
                 min=\"0\" max=\"{end}\" value=\"{end}\" aria-label=\"{of}: {title}\" aria-valuetext=\"{of} {at}\" \
                 data-of=\"{of}\" data-moments=\"{moments}\"></label>\n",
                of = escaped(of),
                title = escaped(title.unwrap_or(&last.chart.title)),
                at = last.at,
                end = frames.len() - 1,
                moments = escaped(&json!(moments).to_string()),
            )
        }
        _ => String::new(),
    };
    let charts: Vec<&Chart> = charts.iter().collect();
    element("h3", &charts, &slider, theme)
}

/// The last of several charts, as an element that holds the others too.
fn element(heading: &str, charts: &[&Chart], slider: &str, theme: Theme) -> String {
    let Some(last) = charts.last() else {
        return String::new();
    };
    let texts = |of: &dyn Fn(&Chart) -> String| {
        let texts: Vec<String> = charts.iter().map(|chart| of(chart)).collect();
        let shown = escaped(texts.last().map_or("", String::as_str));
        match texts.iter().all(|text| Some(text) == texts.last()) {
            true => format!(">{shown}"),
            false => {
                let all = escaped(&json!(texts).to_string());
                format!(" data-texts=\"{all}\">{shown}")
            }
        }
    };
    let mut html = format!(
        "<figure class=\"chart\">\n<{heading}{}</{heading}>\n<p{}</p>\n{slider}",
        texts(&|chart| chart.title.clone()),
        texts(&|chart| chart.subtitle.clone()),
    );
    for (index, panel) in last.panels.iter().enumerate() {
        let name = panel.title.as_ref().unwrap_or(&last.title);
        let panels: Vec<&Panel> = charts.iter().map(|chart| &chart.panels[index]).collect();
        let height = panels.iter().map(|panel| height(panel)).max().unwrap_or(0);
        writeln!(
            html,
            "<div class=\"chart-panel\" role=\"img\" aria-label=\"{}\" style=\"height: {height}px\">\
             <script type=\"application/json\">{}</script></div>",
            escaped(name),
            in_script(&options(&panels, theme)),
        )
        .expect("a string takes everything");
    }
    let num_notes = charts.iter().map(|chart| chart.notes.len()).max();
    for index in 0..num_notes.unwrap_or(0) {
        let note = texts(&|chart| chart.notes.get(index).cloned().unwrap_or_default());
        writeln!(html, "<p{note}</p>").expect("a string takes everything");
    }
    if last.panels.iter().any(has_labels) {
        writeln!(html, "<p>{HIDDEN_LABELS}</p>").expect("a string takes everything");
    }
    html + "</figure>\n"
}

/// Whether it has points among numbers with labels, of which some may have no room.
fn has_labels(panel: &Panel) -> bool {
    let Content::Points(groups) = &panel.content else {
        return false;
    };
    let mut points = groups.iter().flat_map(|group| &group.points);
    panel.y.name_list().is_empty() && points.any(|point| point.label.is_some())
}

/// What ECharts is told of a panel; of several, of each, with axes of numbers that reach equally far.
fn options(panels: &[&Panel], theme: Theme) -> Value {
    if let [panel] = panels {
        return option(panel, theme);
    }
    let mut options: Vec<Value> = panels.iter().map(|panel| option(panel, theme)).collect();
    if let Some([x, y]) = reach(panels) {
        for option in &mut options {
            for (axis, (low, high)) in [("xAxis", x), ("yAxis", y)] {
                option[axis]["min"] = json!(low);
                option[axis]["max"] = json!(high);
            }
        }
    }
    Value::from(options)
}

/// How far points reach in any of several panels, and a little more, to a round number; none where not all have points among
/// numbers.
fn reach(panels: &[&Panel]) -> Option<[(f64, f64); 2]> {
    let mut of_axes = [(f64::INFINITY, f64::NEG_INFINITY); 2];
    for panel in panels {
        let Content::Points(groups) = &panel.content else {
            return None;
        };
        if panel.x.ticks != Ticks::Numbers || panel.y.ticks != Ticks::Numbers {
            return None;
        }
        for point in groups.iter().flat_map(|group| &group.points) {
            for ((low, high), value) in of_axes.iter_mut().zip([point.x, point.y]) {
                *low = low.min(value);
                *high = high.max(value);
            }
        }
    }
    Some(of_axes.map(|(low, high)| {
        let width = match high > low {
            true => high - low,
            false => low.abs().max(1.0),
        };
        let margin = 0.05 * width;
        let step = 10.0_f64.powf(width.log10().floor()) / 10.0;
        let (low, high) = (low - margin, high + margin);
        ((low / step).floor() * step, (high / step).ceil() * step)
    }))
}

/// JSON that ends no element.
fn in_script(value: &Value) -> String {
    value.to_string().replace('<', "\\u003c")
}

/// Text, as a page holds it.
pub(crate) fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    text.replace('>', "&gt;").replace('"', "&quot;")
}

/// In pixels.
fn height(panel: &Panel) -> usize {
    match &panel.content {
        Content::Lines(_) => 340,
        Content::Ridges(ridges) => 160 + 44 * ridges.len(),
        Content::Cells(cells) => (AROUND_CELLS + 40 * cells.values.len()).min(720),
        Content::Points(_) => match &panel.y.ticks {
            Ticks::Names(names) => 170 + 46 * names.len(),
            _ => 600,
        },
        Content::Graph(graph) => 680.max(160 + 16 * graph.tallest_column()),
    }
}

/// What ECharts is told of a panel. What it wants as functions stands in keys that `draw.js` knows, and so
/// does every text that it would take for a template, in which `{a}` stands for something else.
fn option(panel: &Panel, theme: Theme) -> Value {
    let mut option = match &panel.content {
        Content::Lines(lines) => of_lines(panel, lines, theme),
        Content::Ridges(ridges) => of_ridges(panel, ridges, theme),
        Content::Cells(cells) => of_cells(panel, cells, theme),
        Content::Points(groups) => of_points(panel, groups, theme),
        Content::Graph(graph) => of_graph(graph, theme),
    };
    option["animation"] = json!(false);
    option["backgroundColor"] = json!("transparent");
    option["textStyle"] = json!({"color": theme.text()});
    if let Some(title) = &panel.title {
        let style = json!({"color": theme.text(), "fontSize": 15, "fontWeight": "normal"});
        option["title"] = json!({"text": title, "left": "center", "top": 0, "textStyle": style});
    }
    option
}

/// Where the axes are; above them is a legend, or nothing but perhaps the panel's title.
fn grid(panel: &Panel, has_legend: bool) -> Value {
    let top = match (has_legend, panel.title.is_some()) {
        (true, _) => 72,
        (false, true) => 40,
        (false, false) => 16,
    };
    json!({"left": 70, "right": 30, "top": top, "bottom": 60})
}

fn axis(axis: &Axis, theme: Theme, gap: u32) -> Value {
    let mut value = json!({
        "type": "value",
        "scale": true,
        "name": axis.label,
        "nameLocation": "middle",
        "nameGap": gap,
        "nameTextStyle": {"color": theme.text(), "fontSize": 13},
        "axisLabel": {"color": theme.text(), "hideOverlap": true},
        "axisLine": {"show": true, "onZero": false, "lineStyle": {"color": theme.muted()}},
        "splitLine": {"lineStyle": {"color": theme.grid()}},
    });
    match &axis.ticks {
        Ticks::Numbers | Ticks::Powers => {}
        Ticks::Whole => {
            value["minInterval"] = json!(1);
            value["min"] = json!("dataMin");
            value["max"] = json!("dataMax");
        }
        Ticks::Shares => value["axisLabel"]["share"] = json!(true),
        Ticks::Names(names) => {
            value["type"] = json!("category");
            value["data"] = json!(names);
            value["splitLine"] = json!({"show": false});
        }
    }
    value
}

fn legend(names: impl Iterator<Item = String>, theme: Theme) -> Value {
    let names: Vec<String> = names.collect();
    json!({
        "data": names,
        "top": 32,
        "type": "scroll",
        "textStyle": {"color": theme.text()},
        "pageTextStyle": {"color": theme.text()},
    })
}

/// Buttons that zoom into a rectangle, and back.
fn toolbox(theme: Theme) -> Value {
    let zoom = json!({"title": {"zoom": "Zoom into a rectangle", "back": "Zoom back"}});
    let icons = json!({"borderColor": theme.muted()});
    json!({
        "feature": {"dataZoom": zoom, "restore": {"title": "Show all"}},
        "iconStyle": icons,
        "top": 0,
        "right": 0,
    })
}

fn tooltip(trigger: &str, theme: Theme) -> Value {
    json!({
        "trigger": trigger,
        "confine": true,
        "backgroundColor": theme.ground(),
        "borderColor": theme.muted(),
        "textStyle": {"color": theme.text()},
    })
}

fn of_lines(panel: &Panel, lines: &[Line], theme: Theme) -> Value {
    let series: Vec<Value> = lines
        .iter()
        .enumerate()
        .map(|(index, line)| {
            // Told apart without colour as well.
            let style = ["solid", "dashed", "dotted"][index % 3];
            json!({
                "type": "line",
                "name": line.name,
                "data": line.points,
                "color": theme.series(index),
                "lineStyle": {"width": 2.5, "type": style},
                "symbolSize": 5,
                "showSymbol": line.points.len() <= 40,
            })
        })
        .collect();
    let mut tooltip = tooltip("axis", theme);
    tooltip["share"] = json!(panel.y.ticks == Ticks::Shares);
    json!({
        "grid": grid(panel, true),
        "legend": legend(lines.iter().map(|line| line.name.clone()), theme),
        "toolbox": toolbox(theme),
        "tooltip": tooltip,
        "xAxis": axis(&panel.x, theme, 30),
        "yAxis": axis(&panel.y, theme, 50),
        "series": series,
    })
}

fn of_ridges(panel: &Panel, ridges: &[Ridge], theme: Theme) -> Value {
    let last = ridges.len().saturating_sub(1) as f64;
    // From the back to the front.
    let series: Vec<Value> = ridges
        .iter()
        .rev()
        .map(|ridge| {
            let colour = super::ColourScale::Sequential.colour(ridge.base, (0.0, last), theme);
            let points = ridge.points.iter().map(|&[x, y]| [x, ridge.base + y]);
            json!({
                "type": "line",
                "name": ridge.name,
                "data": points.collect::<Vec<_>>(),
                "showSymbol": false,
                "color": colour,
                "lineStyle": {"width": 1.2, "color": theme.text()},
                "areaStyle": {"color": colour, "opacity": 0.85, "origin": ridge.base},
                "endLabel": {
                    "show": ridge.remark.is_some(),
                    "text": ridge.remark,
                    "color": theme.muted(),
                    "align": "right",
                    "offset": [0, -8],
                },
            })
        })
        .collect();
    let mut y_axis = named_rows(&panel.y, theme);
    y_axis["min"] = json!(0);
    let mut x_axis = axis(&panel.x, theme, 30);
    x_axis["min"] = json!("dataMin");
    x_axis["max"] = json!("dataMax");
    // They are no round numbers.
    x_axis["axisLabel"]["showMinLabel"] = json!(false);
    x_axis["axisLabel"]["showMaxLabel"] = json!(false);
    json!({"grid": grid(panel, false), "xAxis": x_axis, "yAxis": y_axis, "series": series})
}

/// An axis with numbers that has names at 0, 1, ...
fn named_rows(of: &Axis, theme: Theme) -> Value {
    let names = of.name_list();
    let at: Vec<usize> = (0..names.len()).collect();
    let mut value = axis(&Axis::numbers(of.label.clone()), theme, 40);
    value["scale"] = json!(false);
    value["axisLabel"]["customValues"] = json!(at);
    value["axisLabel"]["names"] = json!(names);
    value["axisTick"] = json!({"customValues": at});
    value["splitLine"] = json!({"show": false});
    value
}

fn of_cells(panel: &Panel, cells: &Cells, theme: Theme) -> Value {
    let (columns, rows) = (panel.x.name_list(), panel.y.name_list());
    let mut data = Vec::new();
    for (y, row) in cells.values.iter().enumerate() {
        for (x, value) in row.iter().enumerate() {
            let Some(value) = value else { continue };
            let text = cells.texts.as_ref().map(|texts| texts[y][x].as_str());
            let cell = json!([x, y, value]);
            // Most cells of many have no text, and are not to be larger than they need.
            data.push(match text {
                None | Some("") => cell,
                Some(text) => {
                    let colour = text_on(&cells.colour(*value, theme));
                    json!({"value": cell, "text": text, "label": {"show": true, "color": colour}})
                }
            });
        }
    }
    let mut tooltip = tooltip("item", theme);
    tooltip["told"] = json!("cell");
    let mut y_axis = axis(&panel.y, theme, 55);
    y_axis["inverse"] = json!(true);
    let stride = rows
        .len()
        .div_ceil(((height(panel) - AROUND_CELLS) / NAME_PITCH).max(1));
    y_axis["axisLabel"]["interval"] = json!(stride.saturating_sub(1));
    let range = cells.range().unwrap_or((0.0, 0.0));
    // The colour bar stands above the cells, below the title.
    let bar_top = if panel.title.is_some() { 26 } else { 0 };
    let mut grid = grid(panel, false);
    grid["top"] = json!(bar_top + 62);
    grid["show"] = json!(true);
    grid["borderWidth"] = json!(0);
    grid["backgroundColor"] = json!(theme.missing());
    let mut visual_map = json!({
        "type": "continuous",
        "min": range.0,
        "max": range.1,
        "dimension": 2,
        "calculable": true,
        "orient": "horizontal",
        "right": 30,
        "top": bar_top,
        // At its right end nothing, at its left what it means.
        "text": ["", cells.legend],
        "textStyle": {"color": theme.text()},
        "inRange": {"color": cells.scale.colours(NUM_COLOURS, range, theme)},
    });
    // Few cells are told apart by more than their colours.
    let rim = if rows.len().max(columns.len()) <= MAX_RIMMED {
        1
    } else {
        0
    };
    visual_map["share"] = json!(cells.ticks == Ticks::Shares);
    visual_map["powers"] = json!(cells.ticks == Ticks::Powers);
    json!({
        "grid": grid,
        "tooltip": tooltip,
        "xAxis": axis(&panel.x, theme, 35),
        "yAxis": y_axis,
        "visualMap": visual_map,
        "series": [{
            "type": "heatmap",
            "data": data,
            // All at once, whoever looks or prints when.
            "progressive": 0,
            "itemStyle": {"borderWidth": rim, "borderColor": theme.ground()},
        }],
    })
}

fn of_points(panel: &Panel, groups: &[PointGroup], theme: Theme) -> Value {
    const SYMBOLS: [&str; 4] = ["circle", "triangle", "rect", "diamond"];
    let intervals = groups.iter().enumerate().flat_map(|(index, group)| {
        let points = group.points.iter();
        points.filter_map(move |point| {
            let [from, to] = point.interval?;
            Some(json!({
                "type": "line",
                "data": [[from, point.y], [to, point.y]],
                "color": theme.series(index),
                "lineStyle": {"width": 2},
                "showSymbol": false,
                "silent": true,
                "tooltip": {"show": false},
            }))
        })
    });
    let mut series: Vec<Value> = intervals.collect();
    series.extend(groups.iter().enumerate().map(|(index, group)| {
        let symbol = SYMBOLS[index / Theme::NUM_SERIES % SYMBOLS.len()];
        let points = group.points.iter().map(|point| {
            let mut told = json!({"value": [point.x, point.y], "name": point.name});
            if let Some(label) = &point.label {
                told["text"] = json!(label);
                told["label"] = json!({"show": true});
            }
            told
        });
        json!({
            "type": "scatter",
            "name": group.name,
            "data": points.collect::<Vec<_>>(),
            "color": theme.series(index),
            "symbol": symbol,
            "symbolSize": 9,
            "itemStyle": {"opacity": 0.8},
            // A rim, where it lies over points.
            "label": {
                "position": "right",
                "color": theme.text(),
                "fontSize": 11,
                "textBorderColor": theme.ground(),
                "textBorderWidth": 2.5,
                "minMargin": 5,
            },
            "labelLayout": {"hideOverlap": true},
        })
    }));
    let y_axis = match &panel.y.ticks {
        Ticks::Names(names) => {
            let mut rows = named_rows(&panel.y, theme);
            rows["min"] = json!(-0.5);
            rows["max"] = json!(names.len() as f64 - 0.5);
            rows
        }
        _ => axis(&panel.y, theme, 50),
    };
    let mut legend = legend(groups.iter().map(|group| group.name.clone()), theme);
    // As wide as high, as the marks are.
    legend["itemWidth"] = json!(14);
    let mut tooltip = tooltip("item", theme);
    tooltip["told"] = json!("point");
    let mut grid = grid(panel, true);
    if !panel.y.name_list().is_empty() {
        // For labels of points at the right end.
        grid["right"] = json!(80);
    }
    json!({
        "grid": grid,
        "legend": legend,
        "toolbox": toolbox(theme),
        "tooltip": tooltip,
        "dataZoom": [{"type": "inside"}, {"type": "inside", "orient": "vertical"}],
        "xAxis": axis(&panel.x, theme, 30),
        "yAxis": y_axis,
        "series": series,
    })
}

fn of_graph(graph: &Graph, theme: Theme) -> Value {
    let last = graph.columns.len().saturating_sub(1);
    let nodes = graph.nodes.iter().enumerate().map(|(index, node)| {
        let position = if node.column == 0 { "left" } else { "right" };
        json!({
            "id": index.to_string(),
            "name": node.name,
            "across": node.column as f64 / last.max(1) as f64,
            "down": node.place,
            "category": node.column,
            "label": {"position": position},
        })
    });
    let [below, above] = theme.signs();
    let links = graph.edges_by_width();
    let links = links.iter().map(|(edge, width)| {
        let (from, to) = (&graph.nodes[edge.from].name, &graph.nodes[edge.to].name);
        let colour = if edge.weight < 0.0 { &below } else { &above };
        json!({
            "source": edge.from,
            "target": edge.to,
            "name": format!("{from} → {to}: {} {}", graph.legend, number(edge.weight)),
            "lineStyle": {"width": width, "color": colour},
        })
    });
    let categories =
        graph.columns.iter().enumerate().map(
            |(index, name)| json!({"name": name, "itemStyle": {"color": theme.series(index)}}),
        );
    let mut tooltip = tooltip("item", theme);
    tooltip["told"] = json!("name");
    json!({
        "legend": legend(graph.columns.iter().cloned(), theme),
        "tooltip": tooltip,
        "series": [{
            "type": "graph",
            "layout": "none",
            "roam": true,
            "left": 90,
            "right": 90,
            "top": 80,
            "bottom": 30,
            "symbolSize": 10,
            "label": {
                "show": true,
                "color": theme.text(),
                "fontSize": 11,
                "backgroundColor": theme.ground(),
            },
            "lineStyle": {"opacity": 0.75},
            "emphasis": {"focus": "adjacency"},
            "categories": categories.collect::<Vec<_>>(),
            "nodes": nodes.collect::<Vec<_>>(),
            "links": links.collect::<Vec<_>>(),
        }],
    })
}
