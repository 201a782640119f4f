//! Groups of points, with their intervals and labels.

use serde_json::{Value, json};

use super::parts::{axis, grid, legend, named_rows, toolbox, tooltip};
use crate::chart::{Panel, PointGroup, Theme, Ticks};

/// The marks of groups; the colours begin anew with another one.
const SYMBOLS: [&str; 4] = ["circle", "triangle", "rect", "diamond"];

pub(super) fn option(panel: &Panel, groups: &[PointGroup], theme: Theme) -> Value {
    let groups_by_place = || groups.iter().enumerate();
    let intervals = groups_by_place().flat_map(|(index, group)| intervals(index, group, theme));
    let marks = groups_by_place().map(|(index, group)| marks(index, group, theme));
    let series: Vec<Value> = intervals.chain(marks).collect();
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

/// A line a point of which it is known where else it may lie.
fn intervals(index: usize, group: &PointGroup, theme: Theme) -> Vec<Value> {
    let intervals = group.points.iter().filter_map(|point| {
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
    });
    intervals.collect()
}

/// The points of a group, with their labels.
fn marks(index: usize, group: &PointGroup, theme: Theme) -> Value {
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
}
