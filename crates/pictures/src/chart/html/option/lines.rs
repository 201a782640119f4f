//! Lines over a common quantity.

use serde_json::{Value, json};

use super::parts::{axis, grid, legend, toolbox, tooltip};
use crate::chart::{Line, Panel, Theme, Ticks};

pub(super) fn option(panel: &Panel, lines: &[Line], theme: Theme) -> Value {
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
