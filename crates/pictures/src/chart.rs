//! Pictures as data: what a chart shows, apart from how it is drawn.
//!
//! A [`Chart`] is drawn in two ways, which show the same: [`Chart::svg`] and [`Chart::png`] by kuva, and
//! [`html`] by ECharts in a browser. Whoever wants another picture makes another chart; nothing here
//! knows what a network is.

mod colours;
pub mod html;
mod image;

#[cfg(test)]
mod tests;

pub use colours::{ColourScale, Theme};
pub use image::{DEFAULT_SCALE, DrawError, MAX_SCALE};

/// What stands between the parts of a subtitle; lines are broken there rather than elsewhere.
pub(crate) const BETWEEN: &str = " · ";

/// A picture: a title, and one panel below the other.
#[derive(Debug, Clone, PartialEq)]
pub struct Chart {
    /// What it shows, in a few words.
    pub title: String,
    /// Of what: run, epoch, layer.
    pub subtitle: String,
    /// From top to bottom.
    pub panels: Vec<Panel>,
    /// What a reader has to know, as what was left out; a line each.
    pub notes: Vec<String>,
}

/// A pair of axes and what is drawn between them.
#[derive(Debug, Clone, PartialEq)]
pub struct Panel {
    /// What it shows, where the chart's title does not say it.
    pub title: Option<String>,
    /// From left to right.
    pub x: Axis,
    /// From bottom to top, except that the rows of [`Content::Cells`] go from top to bottom.
    pub y: Axis,
    /// What is drawn.
    pub content: Content,
}

/// An axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    /// What it measures, with the unit if it has one.
    pub label: String,
    /// What stands at its ticks.
    pub ticks: Ticks,
}

/// What stands at an axis's ticks.
#[derive(Debug, Clone, PartialEq)]
pub enum Ticks {
    /// Numbers.
    Numbers,
    /// Whole numbers, as epochs.
    Whole,
    /// Percentages of values from 0 to 1.
    Shares,
    /// Whole numbers, of which the values are the decimal logarithms.
    Powers,
    /// A name at each of 0, 1, 2, ...
    Names(Vec<String>),
}

/// What a panel shows.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// Values over a common quantity.
    Lines(Vec<Line>),
    /// Curves that stand on lines of their own, one above the other.
    Ridges(Vec<Ridge>),
    /// A grid of coloured cells.
    Cells(Cells),
    /// Groups of points.
    Points(Vec<PointGroup>),
    /// Nodes, and edges between them.
    Graph(Graph),
}

/// A line.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// What the legend calls it.
    pub name: String,
    /// Its points by x; all are finite.
    pub points: Vec<[f64; 2]>,
}

/// A curve that stands on a line of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct Ridge {
    /// What it is of.
    pub name: String,
    /// The y of the line.
    pub base: f64,
    /// x, and how far the curve is above the line, from 0 on.
    pub points: Vec<[f64; 2]>,
    /// What is to be said of it at its right end.
    pub remark: Option<String>,
}

/// A grid of coloured cells.
#[derive(Debug, Clone, PartialEq)]
pub struct Cells {
    /// By row, from top to bottom, and column, as many as the axes have names; none where there is no
    /// value.
    pub values: Vec<Vec<Option<f64>>>,
    /// What is written into the cells, if anything, by row and column.
    pub texts: Option<Vec<Vec<String>>>,
    /// How values become colours.
    pub scale: ColourScale,
    /// What the colours reach over beyond the values of this grid, so that several can be compared.
    pub beyond: Option<(f64, f64)>,
    /// What the colours mean, with the unit if there is one.
    pub legend: String,
    /// What the colour bar has at its ticks.
    pub ticks: Ticks,
}

/// Points of one colour and shape.
#[derive(Debug, Clone, PartialEq)]
pub struct PointGroup {
    /// What the legend calls it.
    pub name: String,
    /// The points.
    pub points: Vec<Point>,
}

/// A point.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// From left to right.
    pub x: f64,
    /// From bottom to top.
    pub y: f64,
    /// What it is, told where a pointer rests on it.
    pub name: String,
    /// What is written beside it, if anything.
    pub label: Option<String>,
    /// From where to where `x` may as well lie, drawn as a line through the point.
    pub interval: Option<[f64; 2]>,
}

/// Nodes, and edges between them. Its panel's axes are not drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Graph {
    /// The columns that nodes stand in, from left to right, which the legend lists.
    pub columns: Vec<String>,
    /// The nodes.
    pub nodes: Vec<Node>,
    /// The edges.
    pub edges: Vec<Edge>,
    /// What an edge's weight is.
    pub legend: String,
}

/// A node of a graph.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// What is written beside it.
    pub name: String,
    /// Which column it stands in.
    pub column: usize,
    /// How far down it stands, from 0 at the top to 1.
    pub place: f64,
}

/// An edge of a graph.
#[derive(Debug, Clone, PartialEq)]
pub struct Edge {
    /// Where it begins, by the node's index.
    pub from: usize,
    /// Where it ends.
    pub to: usize,
    /// Its colour says the sign, its width how large it is among the edges that end in the same column.
    pub weight: f64,
}

impl Axis {
    /// An axis with numbers.
    pub fn numbers(label: impl Into<String>) -> Self {
        let label = label.into();
        let ticks = Ticks::Numbers;
        Self { label, ticks }
    }

    /// An axis with whole numbers.
    pub fn whole(label: impl Into<String>) -> Self {
        let label = label.into();
        let ticks = Ticks::Whole;
        Self { label, ticks }
    }

    /// An axis with percentages of values from 0 to 1.
    pub fn shares(label: impl Into<String>) -> Self {
        let label = label.into();
        let ticks = Ticks::Shares;
        Self { label, ticks }
    }

    /// An axis with names at 0, 1, 2, ...
    pub fn names(label: impl Into<String>, names: Vec<String>) -> Self {
        let label = label.into();
        let ticks = Ticks::Names(names);
        Self { label, ticks }
    }

    /// Its names; none where it has numbers.
    fn name_list(&self) -> &[String] {
        match &self.ticks {
            Ticks::Names(names) => names,
            _ => &[],
        }
    }
}

impl Ticks {
    /// A value as a reader sees it.
    fn format(&self, value: f64) -> String {
        match self {
            Ticks::Shares => format!("{} %", number(100.0 * value)),
            Ticks::Powers => format!("{:.0}", 10.0_f64.powf(value)),
            Ticks::Numbers | Ticks::Whole | Ticks::Names(_) => number(value),
        }
    }
}

impl Cells {
    /// The smallest and the largest value that the colours reach over; none where no cell has one.
    pub fn range(&self) -> Option<(f64, f64)> {
        let values = self.values.iter().flatten().flatten().copied();
        let beyond = self.beyond.into_iter().flat_map(|(low, high)| [low, high]);
        values.chain(beyond).fold(None, |range, value| {
            let (low, high) = range.unwrap_or((value, value));
            Some((value.min(low), value.max(high)))
        })
    }

    /// The colour of a value among those of this grid.
    fn colour(&self, value: f64, theme: Theme) -> String {
        let (low, high) = self.range().unwrap_or((0.0, 0.0));
        self.scale.colour(value, (low, high), theme)
    }
}

/// Names of which at most `room` are written: every second, third, ... one; the rest are empty.
fn thinned(names: &[String], room: usize) -> Vec<String> {
    let stride = names.len().div_ceil(room.max(1)).max(1);
    let keep = |(index, name): (usize, &String)| match index % stride {
        0 => name.clone(),
        _ => String::new(),
    };
    names.iter().enumerate().map(keep).collect()
}

/// A number as people read it: four significant digits, without zeros at the end.
pub(crate) fn number(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let digits = value.abs().log10().floor();
    if !(-4.0..6.0).contains(&digits) {
        return format!("{value:.2e}");
    }
    let decimals = (3.0 - digits).clamp(0.0, 8.0) as usize;
    let text = format!("{value:.decimals$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

impl Graph {
    /// The most nodes that a column has.
    fn tallest_column(&self) -> usize {
        let of = |column: usize| {
            self.nodes
                .iter()
                .filter(|node| node.column == column)
                .count()
        };
        (0..self.columns.len()).map(of).max().unwrap_or(0)
    }

    /// The edges from the thinnest to the widest, with their widths in pixels: 0.8 to 5, by how large a
    /// weight is among those that end in the same column.
    fn edges_by_width(&self) -> Vec<(&Edge, f64)> {
        let mut largest = vec![0.0_f64; self.columns.len()];
        let column = |edge: &Edge| self.nodes[edge.to].column;
        for edge in &self.edges {
            let largest = &mut largest[column(edge)];
            *largest = largest.max(edge.weight.abs());
        }
        let width = |edge: &Edge| match largest[column(edge)] {
            largest if largest > 0.0 => 0.8 + 4.2 * edge.weight.abs() / largest,
            _ => 0.8,
        };
        let mut edges: Vec<_> = self.edges.iter().map(|edge| (edge, width(edge))).collect();
        edges.sort_by(|a, b| a.1.total_cmp(&b.1));
        edges
    }
}
