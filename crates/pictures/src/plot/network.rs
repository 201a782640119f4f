//! The strongest connections, from the inputs to the outputs.

use std::collections::{BTreeMap, BTreeSet};

use datafusion::functions::expr_fn::abs;
use datafusion::prelude::col;
use sql::QueryError;
use trace::{Layer, Table};

use super::asked::Asked;
use super::error::PlotError;
use super::rows::{collected, floats, integers};
use crate::chart::{Axis, Chart, Content, Edge, Graph, Node, Panel};

pub(super) const PARAMETERS: &[&str] = &[
    "epoch Int32{<epoch>,first,last} = last: the epoch",
    "top Int64{1..} = 20: how many connections into each layer are shown, the largest by size",
];

/// How often columns are sorted by what they are connected to.
const NUM_SWEEPS: usize = 8;

/// An input of the network, or a neuron.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Input(i64),
    Neuron(i64),
}

struct Connection {
    from: End,
    to: End,
    weight: f64,
}

pub(super) async fn chart(asked: &Asked<'_>) -> Result<Chart, PlotError> {
    let epoch = asked.epoch()?;
    let top = asked.count("top")?;
    let layers = asked.info().layers.layers();
    let mut connections = Vec::new();
    for layer in layers.iter().filter(|layer| layer.source.is_some()) {
        connections.extend(strongest(asked, epoch, layer, top).await?);
    }
    if connections.is_empty() {
        let remedy = match layers.iter().any(|layer| layer.source.is_some()) {
            true => "`recorder train` records them unless --record leaves out `weights`",
            false => {
                "what its layers are connected to is not known, as of imported checkpoints, and of \
                 networks whose forward pass was not seen, or could not be followed"
            }
        };
        return Err(asked.nothing_of(Table::Weights, "connections", remedy));
    }
    // Of several weights between the same two, as a kernel has, the largest comes first.
    let num_weights = connections.len();
    let mut joined = BTreeSet::new();
    connections.retain(|connection| joined.insert((connection.from, connection.to)));
    let shown: BTreeSet<End> = connections.iter().flat_map(|c| [c.from, c.to]).collect();
    let mut columns: Vec<(String, Vec<End>)> = Vec::new();
    let inputs: Vec<End> = shown
        .iter()
        .copied()
        .filter(|end| matches!(end, End::Input(_)))
        .collect();
    if !inputs.is_empty() {
        columns.push((format!("inputs ({} shown)", inputs.len()), inputs));
    }
    for layer in layers {
        let ends: Vec<End> = shown
            .iter()
            .copied()
            .filter(|end| is_of(*end, layer))
            .collect();
        if !ends.is_empty() {
            let name = format!("{} ({} of {})", layer.layer, ends.len(), layer.num_units);
            columns.push((name, ends));
        }
    }
    untangle(&mut columns, &connections);
    let mut notes = vec![
        "Orange lines are positive weights, blue ones negative. A line's width is the weight's size in comparison with the largest into the same layer; inputs and \
         neurons without a line are not shown."
            .to_owned(),
    ];
    if connections.len() < num_weights {
        notes.push(format!(
            "{} more of these weights, as of a kernel, go from where to where a larger one goes, which is drawn alone.",
            num_weights - connections.len()
        ));
    }
    let graph = graph(asked, columns, &connections);
    Ok(Chart {
        title: format!("The strongest connections, epoch {epoch}"),
        subtitle: asked.subtitle(&[format!("the {top} largest weights into each layer")]),
        panels: vec![Panel {
            title: None,
            x: Axis::whole("layer"),
            y: Axis::whole("unit"),
            content: Content::Graph(graph),
        }],
        notes,
    })
}

fn is_of(end: End, layer: &Layer) -> bool {
    let first = i64::from(layer.first_neuron);
    matches!(end, End::Neuron(neuron) if (first..first + i64::from(layer.num_units)).contains(&neuron))
}

/// The connections into a layer with the largest weights.
async fn strongest(
    asked: &Asked<'_>,
    epoch: i64,
    layer: &Layer,
    top: usize,
) -> Result<Vec<Connection>, PlotError> {
    let arguments = [
        ("epoch".to_owned(), epoch.to_string()),
        ("layer".to_owned(), layer.layer.to_string()),
    ];
    let rows = asked.session.named("connections", &arguments).await?;
    let weight = abs(col("weight"));
    let largest = rows
        .filter(
            col("source")
                .is_not_null()
                .and(weight.clone().lt(datafusion::prelude::lit(f32::INFINITY))),
        )
        .and_then(|rows| {
            rows.sort(vec![
                weight.sort(false, false),
                col("neuron").sort(true, false),
            ])
        })
        .and_then(|rows| rows.limit(0, Some(top)));
    let rows = collected(largest.map_err(QueryError::from)?).await?;
    let (inputs, sources) = (
        integers(&rows, "source_input"),
        integers(&rows, "source_neuron"),
    );
    let neurons = integers(&rows, "neuron");
    let weights = floats(&rows, "weight");
    let connections = (0..rows.num_rows()).filter_map(|row| {
        let from = match inputs[row] {
            input @ 0.. => End::Input(input),
            _ => End::Neuron(sources[row]),
        };
        Some(Connection {
            from,
            to: End::Neuron(neurons[row]),
            weight: weights[row]?,
        })
    });
    Ok(connections.collect())
}

/// Sorts each column by where what it is connected to stands (the barycentre heuristic of Sugiyama,
/// Tagawa and Toda, 1981), there and back: fewer lines cross.
fn untangle(columns: &mut [(String, Vec<End>)], connections: &[Connection]) {
    for sweep in 0..NUM_SWEEPS {
        let place: BTreeMap<End, f64> = places(columns);
        for (_, ends) in columns.iter_mut() {
            let barycentre = |end: &End| {
                let linked = connections.iter().filter_map(|connection| match sweep % 2 {
                    0 => (connection.to == *end).then_some(connection.from),
                    _ => (connection.from == *end).then_some(connection.to),
                });
                let linked: Vec<f64> = linked.map(|end| place[&end]).collect();
                match linked.len() {
                    0 => place[end],
                    count => linked.iter().sum::<f64>() / count as f64,
                }
            };
            ends.sort_by(|a, b| barycentre(a).total_cmp(&barycentre(b)));
        }
    }
}

/// How far down each end stands, from 0 to 1.
fn places(columns: &[(String, Vec<End>)]) -> BTreeMap<End, f64> {
    let mut places = BTreeMap::new();
    for (_, ends) in columns {
        for (index, end) in ends.iter().enumerate() {
            places.insert(*end, (index as f64 + 0.5) / ends.len() as f64);
        }
    }
    places
}

fn graph(asked: &Asked<'_>, columns: Vec<(String, Vec<End>)>, connections: &[Connection]) -> Graph {
    let places = places(&columns);
    let mut index = BTreeMap::new();
    let mut nodes = Vec::new();
    for (column, (_, ends)) in columns.iter().enumerate() {
        for end in ends {
            index.insert(*end, nodes.len());
            let name = match *end {
                End::Input(input) => format!("input_{input}"),
                End::Neuron(neuron) => asked.neuron_name(neuron),
            };
            nodes.push(Node {
                name,
                column,
                place: places[end],
            });
        }
    }
    let edges = connections.iter().map(|connection| Edge {
        from: index[&connection.from],
        to: index[&connection.to],
        weight: connection.weight,
    });
    Graph {
        columns: columns.into_iter().map(|(name, _)| name).collect(),
        nodes,
        edges: edges.collect(),
        legend: "weight".to_owned(),
    }
}
