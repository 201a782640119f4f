//! A graph in columns.

use serde_json::{Value, json};

use super::parts::{legend, tooltip};
use crate::chart::{Graph, Theme, number};

pub(super) fn option(graph: &Graph, theme: Theme) -> Value {
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
