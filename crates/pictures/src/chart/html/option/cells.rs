//! A grid of coloured cells, and its colour bar.

use serde_json::{Value, json};

use super::parts::{AROUND_CELLS, axis, grid, height, tooltip};
use crate::chart::colours::text_on;
use crate::chart::{Cells, Panel, Theme, Ticks};

/// From one name of a row to the next, in pixels.
const NAME_PITCH: usize = 14;

/// More rows or columns than this have no rims around their cells.
const MAX_RIMMED: usize = 40;

/// How many colours a colour bar goes through.
const NUM_COLOURS: usize = 17;

pub(super) fn option(panel: &Panel, cells: &Cells, theme: Theme) -> Value {
    let (columns, rows) = (panel.x.name_list(), panel.y.name_list());
    let mut tooltip = tooltip("item", theme);
    tooltip["told"] = json!("cell");
    let mut y_axis = axis(&panel.y, theme, 55);
    y_axis["inverse"] = json!(true);
    let stride = rows
        .len()
        .div_ceil(((height(panel) - AROUND_CELLS) / NAME_PITCH).max(1));
    y_axis["axisLabel"]["interval"] = json!(stride.saturating_sub(1));
    // The colour bar stands above the cells, below the title.
    let bar_top = if panel.title.is_some() { 26 } else { 0 };
    let mut grid = grid(panel, false);
    grid["top"] = json!(bar_top + 62);
    grid["show"] = json!(true);
    grid["borderWidth"] = json!(0);
    grid["backgroundColor"] = json!(theme.missing());
    // Few cells are told apart by more than their colours.
    let rim = if rows.len().max(columns.len()) <= MAX_RIMMED {
        1
    } else {
        0
    };
    json!({
        "grid": grid,
        "tooltip": tooltip,
        "xAxis": axis(&panel.x, theme, 35),
        "yAxis": y_axis,
        "visualMap": colour_bar(cells, bar_top, theme),
        "series": [{
            "type": "heatmap",
            "data": data(cells, theme),
            // All at once, whoever looks or prints when.
            "progressive": 0,
            "itemStyle": {"borderWidth": rim, "borderColor": theme.ground()},
        }],
    })
}

/// The cells that have a value: their column, row and value, and what is written into them.
fn data(cells: &Cells, theme: Theme) -> Vec<Value> {
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
    data
}

/// The colour bar; `top` is where it stands, in pixels.
fn colour_bar(cells: &Cells, top: i32, theme: Theme) -> Value {
    let range = cells.range().unwrap_or((0.0, 0.0));
    let mut visual_map = json!({
        "type": "continuous",
        "min": range.0,
        "max": range.1,
        "dimension": 2,
        "calculable": true,
        "orient": "horizontal",
        "right": 30,
        "top": top,
        // At its right end nothing, at its left what it means.
        "text": ["", cells.legend],
        "textStyle": {"color": theme.text()},
        "inRange": {"color": cells.scale.colours(NUM_COLOURS, range, theme)},
    });
    visual_map["share"] = json!(cells.ticks == Ticks::Shares);
    visual_map["powers"] = json!(cells.ticks == Ticks::Powers);
    visual_map
}
