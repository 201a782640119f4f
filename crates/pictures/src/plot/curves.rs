//! Loss and accuracy by epoch.

use super::asked::Asked;
use super::error::PlotError;
use super::rows::{floats, integers, texts};
use crate::chart::{Axis, Chart, Content, Line, Panel};
use trace::Table;

pub(super) const PARAMETERS: &[&str] = &[];

pub(super) async fn chart(asked: &Asked<'_>) -> Result<Chart, PlotError> {
    let rows = asked.named("learning_curve", &[]).await?;
    let epochs = integers(&rows, "epoch");
    let phases = texts(&rows, "phase");
    let lines = |column: &str| -> Vec<Line> {
        let values = floats(&rows, column);
        [("train", "training"), ("eval", "held out")]
            .into_iter()
            .map(|(phase, name)| {
                let of_phase = (0..rows.num_rows()).filter(|&row| phases[row] == phase);
                let points = of_phase.filter_map(|row| Some([epochs[row] as f64, values[row]?]));
                let points = points.collect();
                Line {
                    name: name.to_owned(),
                    points,
                }
            })
            .filter(|line: &Line| !line.points.is_empty())
            .collect()
    };
    let panel = |lines: Vec<Line>, y: Axis| Panel {
        title: None,
        x: Axis::whole("epoch"),
        y,
        content: Content::Lines(lines),
    };
    let (loss, accuracy) = (lines("loss"), lines("accuracy"));
    let mut panels = Vec::new();
    if !loss.is_empty() {
        panels.push(panel(loss, Axis::numbers("mean loss")));
    }
    if !accuracy.is_empty() {
        panels.push(panel(
            accuracy,
            Axis::shares("accuracy (samples classified right)"),
        ));
    }
    if panels.is_empty() {
        let remedy = "`recorder train` records them unless --record leaves out `metrics`";
        return Err(asked.nothing_of(Table::Metrics, "losses and accuracies", remedy));
    }
    Ok(Chart {
        title: "How the network learned".to_owned(),
        subtitle: asked.subtitle(&[]),
        panels,
        notes: Vec::new(),
    })
}
