//! Curves one above the other, each on a line of its own.

use serde_json::{Value, json};

use super::parts::{axis, grid, named_rows};
use crate::chart::{ColourScale, Panel, Ridge, Theme};

pub(super) fn option(panel: &Panel, ridges: &[Ridge], theme: Theme) -> Value {
    let last = ridges.len().saturating_sub(1) as f64;
    // From the back to the front.
    let series: Vec<Value> = ridges
        .iter()
        .rev()
        .map(|ridge| {
            let colour = ColourScale::Sequential.colour(ridge.base, (0.0, last), theme);
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
