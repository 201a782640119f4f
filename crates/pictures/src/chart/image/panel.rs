//! One panel: by kuva its marks, its axes, its legend.

mod cells;
mod frame;
mod labels;
mod lines;
mod points;
mod ridges;

use kuva::render::render::Scene;

use super::graph;
use crate::chart::{Content, Panel, Theme};

/// A panel, and what has to be said below the picture of how it came out.
pub(super) fn scene(panel: &Panel, theme: Theme) -> (Scene, Option<String>) {
    let scene = match &panel.content {
        Content::Lines(lines) => lines::scene(panel, lines, theme),
        Content::Ridges(ridges) => ridges::scene(panel, ridges, theme),
        Content::Cells(cells) => cells::scene(panel, cells, theme),
        Content::Points(groups) => return points::scene(panel, groups, theme),
        Content::Graph(graph) => graph::scene(graph, theme),
    };
    (scene, None)
}
