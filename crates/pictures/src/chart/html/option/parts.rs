//! What panels of one kind and another have: axes, legends, tools.

use serde_json::{Value, json};

use crate::chart::{Axis, Content, Panel, Theme, Ticks};

/// What a grid of cells leaves of its panel's height, in pixels.
pub(super) const AROUND_CELLS: usize = 150;

/// In pixels.
pub(in crate::chart::html) fn height(panel: &Panel) -> usize {
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

/// Where the axes are; above them is a legend, or nothing but perhaps the panel's title.
pub(super) fn grid(panel: &Panel, has_legend: bool) -> Value {
    let top = match (has_legend, panel.title.is_some()) {
        (true, _) => 72,
        (false, true) => 40,
        (false, false) => 16,
    };
    json!({"left": 70, "right": 30, "top": top, "bottom": 60})
}

pub(super) fn axis(axis: &Axis, theme: Theme, gap: u32) -> Value {
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

/// An axis with numbers that has names at 0, 1, ...
pub(super) fn named_rows(of: &Axis, theme: Theme) -> Value {
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

pub(super) fn legend(names: impl Iterator<Item = String>, theme: Theme) -> Value {
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
pub(super) fn toolbox(theme: Theme) -> Value {
    let zoom = json!({"title": {"zoom": "Zoom into a rectangle", "back": "Zoom back"}});
    let icons = json!({"borderColor": theme.muted()});
    json!({
        "feature": {"dataZoom": zoom, "restore": {"title": "Show all"}},
        "iconStyle": icons,
        "top": 0,
        "right": 0,
    })
}

pub(super) fn tooltip(trigger: &str, theme: Theme) -> Value {
    json!({
        "trigger": trigger,
        "confine": true,
        "backgroundColor": theme.ground(),
        "borderColor": theme.muted(),
        "textStyle": {"color": theme.text()},
    })
}
