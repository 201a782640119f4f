//! What ECharts is told of panels.
//!
//! What it wants as functions stands in keys that `draw.js` knows.

mod cells;
mod graph;
mod lines;
mod parts;
mod points;
mod ridges;

use serde_json::{Value, json};

use crate::chart::{Content, Panel, Theme, Ticks};

pub(super) use parts::height;

/// What ECharts is told of a panel; of several, of each, with axes of numbers that reach equally far.
pub(super) fn options(panels: &[&Panel], theme: Theme) -> Value {
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

/// What ECharts is told of a panel. What it wants as functions stands in keys that `draw.js` knows, and so
/// does every text that it would take for a template, in which `{a}` stands for something else.
fn option(panel: &Panel, theme: Theme) -> Value {
    let mut option = match &panel.content {
        Content::Lines(lines) => lines::option(panel, lines, theme),
        Content::Ridges(ridges) => ridges::option(panel, ridges, theme),
        Content::Cells(cells) => cells::option(panel, cells, theme),
        Content::Points(groups) => points::option(panel, groups, theme),
        Content::Graph(graph) => graph::option(graph, theme),
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
