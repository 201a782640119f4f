//! A graph in columns: nodes below one another, edges from column to column.

use kuva::render::color::Color;
use kuva::render::render::{PathData, Primitive, Scene, TextAnchor};

use super::WIDTH;
use super::text::{text, text_width};
use crate::chart::{Graph, Theme};

const MIN_HEIGHT: f64 = 640.0;
const HEADER: f64 = 40.0;
const FOOTER: f64 = 44.0;
const LABEL_SIZE: u32 = 11;
const NODE_RADIUS: f64 = 5.0;
/// From one node of a column to the next, at least.
const NODE_PITCH: f64 = 16.0;

pub(super) fn scene(graph: &Graph, theme: Theme) -> Scene {
    let room = NODE_PITCH * graph.tallest_column() as f64;
    let height = MIN_HEIGHT.max(room + HEADER + FOOTER + 40.0);
    let mut scene = Scene::new(WIDTH, height);
    let widest = |column: usize| {
        let nodes = graph.nodes.iter().filter(|node| node.column == column);
        let widths = nodes.map(|node| text_width(&node.name, LABEL_SIZE));
        widths.fold(0.0, f64::max)
    };
    let last = graph.columns.len().saturating_sub(1);
    // The names of the first and of the last column stand outside of the graph.
    let left = 40.0_f64.max(widest(0) + 30.0);
    let right = WIDTH - 40.0_f64.max(widest(last) + 30.0);
    let column_x = |column: usize| left + (right - left) * column as f64 / last.max(1) as f64;
    let at = |index: usize| {
        let node = &graph.nodes[index];
        let y = HEADER + 20.0 + node.place * (height - HEADER - FOOTER - 40.0);
        (column_x(node.column), y)
    };

    for (edge, width) in graph.edges_by_width() {
        let ((x1, y1), (x2, y2)) = (at(edge.from), at(edge.to));
        let [below, above] = theme.signs();
        scene.add(Primitive::Path(Box::new(PathData {
            d: format!("M {x1:.1} {y1:.1} L {x2:.1} {y2:.1}"),
            fill: Some(Color::None),
            stroke: Color::from(if edge.weight < 0.0 { below } else { above }),
            stroke_width: width,
            opacity: Some(0.75),
            stroke_dasharray: None,
        })));
    }
    for (index, node) in graph.nodes.iter().enumerate() {
        let (x, y) = at(index);
        scene.add(Primitive::Circle {
            cx: x,
            cy: y,
            r: NODE_RADIUS,
            fill: Color::from(theme.series(node.column)),
            fill_opacity: None,
            stroke: Some(Color::from(theme.ground())),
            stroke_width: Some(1.5),
        });
        let (x, anchor) = match node.column {
            0 => (x - 9.0, TextAnchor::End),
            _ => (x + 9.0, TextAnchor::Start),
        };
        // Lines begin behind the names of the columns in the middle.
        if node.column != 0 && node.column != last {
            scene.add(Primitive::Rect {
                x: x - 1.0,
                y: y - f64::from(LABEL_SIZE) * 0.6,
                width: text_width(&node.name, LABEL_SIZE),
                height: f64::from(LABEL_SIZE) * 1.2,
                fill: Color::from(theme.ground()),
                stroke: None,
                stroke_width: None,
                opacity: Some(0.85),
            });
        }
        let y = y + f64::from(LABEL_SIZE) * 0.36;
        scene.add(text(x, y, &node.name, LABEL_SIZE, anchor, None));
    }
    for (column, name) in graph.columns.iter().enumerate() {
        let half = text_width(name, 13) / 2.0;
        let x = column_x(column).clamp(half + 8.0, WIDTH - half - 8.0);
        scene.add(text(x, HEADER - 16.0, name, 13, TextAnchor::Middle, None));
    }
    legend(&mut scene, graph, theme, height);
    scene
}

fn legend(scene: &mut Scene, graph: &Graph, theme: Theme, height: f64) {
    let [below, above] = theme.signs();
    let y = height - 14.0;
    let names = [
        (below, format!("negative {}", graph.legend)),
        (above, format!("positive {}", graph.legend)),
    ];
    let mut x = 40.0;
    for (colour, name) in names {
        scene.add(Primitive::Line {
            x1: x,
            y1: y - 4.0,
            x2: x + 28.0,
            y2: y - 4.0,
            stroke: Color::from(colour),
            stroke_width: 4.0,
            stroke_dasharray: None,
        });
        scene.add(text(x + 36.0, y, &name, 12, TextAnchor::Start, None));
        x += 36.0 + text_width(&name, 12) + 32.0;
    }
}
