//! What pictures show of the tiny run, worked out by hand.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on ends, in its helpers as well"
)]

#[path = "../../../tests/sql/tiny.rs"]
#[allow(dead_code, reason = "other tests use more of it")]
mod tiny;

use std::sync::Arc;

use arrow::array::{Float64Array, Int32Array, Int64Array, StringArray, new_null_array};
use arrow::datatypes::DataType;
use query::chart::{Cells, Chart, Content, Edge, Line, PointGroup, Ticks};
use query::{PlotKind, QuerySession, Run, SessionOptions};
use tempfile::TempDir;
use trace::{CaptureId, Epoch, Step, Table, derived_rows, publish_derived};

fn session() -> (TempDir, QuerySession) {
    let dir = TempDir::new().unwrap();
    let run = tiny::write(&dir.path().join("run")).unwrap();
    let run = Run::open(run.path()).unwrap();
    let session = run.session(SessionOptions::default()).unwrap();
    (dir, session)
}

async fn chart(kind: PlotKind, parameters: &[(&str, &str)]) -> Result<Chart, String> {
    let (_dir, session) = session();
    let parameters: Vec<(String, String)> = parameters
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    let chart = kind.chart(&session, &parameters).await;
    chart.map_err(|error| error.to_string())
}

fn cells(chart: &Chart) -> &Cells {
    match &chart.panels[0].content {
        Content::Cells(cells) => cells,
        other => panic!("{other:?}"),
    }
}

fn names(ticks: &Ticks) -> Vec<&str> {
    match ticks {
        Ticks::Names(names) => names.iter().map(String::as_str).collect(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn curves_have_a_line_a_phase() {
    let chart = chart(PlotKind::Curves, &[]).await.unwrap();
    let lines = |panel: usize| match &chart.panels[panel].content {
        Content::Lines(lines) => lines.clone(),
        other => panic!("{other:?}"),
    };
    let line = |name: &str, values: [f64; 3]| Line {
        name: name.to_owned(),
        points: (0..3).map(|epoch| [epoch as f64, values[epoch]]).collect(),
    };
    assert_eq!(
        lines(0),
        [
            line("training", [1.5, 1.0, 0.5]),
            line("held out", [0.75, 0.5, 0.25])
        ]
    );
    // Accuracy was measured on the held-out set alone.
    assert_eq!(lines(1), [line("held out", [0.5, 1.0, 1.0])]);
    assert_eq!(chart.panels[1].y.ticks, Ticks::Shares);
    assert!(chart.subtitle.starts_with("run "), "{}", chart.subtitle);
}

#[tokio::test]
async fn a_confusion_counts_and_colours_by_the_share_of_a_class() {
    let chart = chart(PlotKind::Confusion, &[("epoch", "0")]).await.unwrap();
    let panel = &chart.panels[0];
    assert_eq!(names(&panel.x.ticks), ["no", "yes"]);
    assert_eq!(names(&panel.y.ticks), ["no", "yes"]);
    // Step 2: sample 0 of class 0 and sample 1 of class 1 were taken for 0, sample 2 of class 1 for 1.
    let cells = cells(&chart);
    assert_eq!(
        cells.values,
        [[Some(1.0), Some(0.0)], [Some(0.5), Some(0.5)]]
    );
    assert_eq!(cells.texts.as_ref().unwrap(), &[["1", ""], ["1", "1"]]);
    assert!(chart.notes[0].starts_with("2 of 3 held-out samples (66.7 %)"));
}

#[tokio::test]
async fn what_an_epoch_has_not_is_told_with_the_epochs_that_have_it() {
    let error = chart(PlotKind::Confusion, &[]).await.unwrap_err();
    assert_eq!(
        error,
        "confusion draws classifications, which this run has of epochs 0 to 1, not of 2"
    );
    let error = chart(PlotKind::Correlation, &[("layer", "last")]).await;
    let error = error.unwrap_err();
    assert!(
        error.starts_with(
            "correlation draws values of activations of L_output, of which this run has none: \
             `recorder train --record activations"
        ),
        "{error}"
    );
}

#[tokio::test]
async fn a_parameter_that_makes_no_sense_is_told() {
    for (kind, parameter, said) in [
        (
            PlotKind::Curves,
            ("epoch", "1"),
            "curves has no parameter \"epoch\"",
        ),
        (PlotKind::Weights, ("layr", "first"), "did you mean layer?"),
        (
            PlotKind::Weights,
            ("layer", "L_hiden"),
            "did you mean L_hidden?",
        ),
        (
            PlotKind::Weights,
            ("stat", "median"),
            "it can be l2, l1, mean, std, min, max",
        ),
        (
            PlotKind::Network,
            ("top", "0"),
            "parameter top is 0, it has to be 1 or more",
        ),
        (
            PlotKind::Network,
            ("epoch", "soon"),
            "parameter epoch is \"soon\"",
        ),
    ] {
        let error = chart(kind, &[parameter]).await.unwrap_err();
        assert!(error.contains(said), "{error}");
    }
}

#[tokio::test]
async fn an_association_is_a_correlation_unless_chance_goes_as_far() {
    let parameters = [("epoch", "1"), ("permutations", "0")];
    let drawn = chart(PlotKind::Association, &parameters).await.unwrap();
    // Neuron 0 has 0, 4 and 8, taken for classes 0, 1 and 1: 4 / √(32 · 2/3). Neuron 1 is always 1.
    let expected = 4.0 / (32.0_f64 * 2.0 / 3.0).sqrt();
    let values = &cells(&drawn).values;
    assert_eq!(values.len(), 1);
    for (value, expected) in values[0].iter().zip([-expected, expected]) {
        assert!((value.unwrap() - expected).abs() < 1e-6, "{value:?}");
    }
    assert_eq!(names(&drawn.panels[0].y.ticks), ["n_0"]);
    assert_eq!(names(&drawn.panels[0].x.ticks), ["no", "yes"]);
    let constant = "1 of 2 neurons have the same activation";
    assert!(
        drawn.notes.iter().any(|note| note.starts_with(constant)),
        "{:?}",
        drawn.notes
    );

    // Every third permutation of three samples goes as far.
    let drawn = chart(PlotKind::Association, &[("epoch", "1")])
        .await
        .unwrap();
    assert_eq!(cells(&drawn).values, [[None, None]]);
    assert!(
        drawn
            .svg(query::chart::Theme::Light)
            .contains(">n_0</text>")
    );
}

#[tokio::test]
async fn a_map_of_samples_has_them_by_how_often_they_were_right() {
    let chart = chart(PlotKind::Cartography, &[]).await.unwrap();
    let Content::Points(groups) = &chart.panels[0].content else {
        panic!("{chart:?}")
    };
    // Captures of epochs 0 and 1, steps 2 and 4. Class 0's probability of sample 0 is 3/4 and 1/2; class
    // 1's of sample 1 is 1/2 and 3/4, and wrong at first; of sample 2 it is 3/4 and 7/8.
    let found: Vec<(&str, Vec<(f64, f64)>)> = groups
        .iter()
        .map(|group| {
            let points = group.points.iter().map(|point| (point.x, point.y));
            (group.name.as_str(), points.collect())
        })
        .collect();
    assert_eq!(
        found,
        [
            ("always right", vec![(0.125, 0.625), (0.0625, 0.8125)]),
            ("right at half or more", vec![(0.125, 0.625)]),
        ]
    );
    assert_eq!(
        groups[1].points[0].name,
        "sample 1, class yes: right at 50 % of the epochs"
    );
}

#[tokio::test]
async fn neurons_that_never_change_are_not_correlated() {
    let error = chart(PlotKind::Correlation, &[]).await.unwrap_err();
    assert!(error.ends_with("L_hidden has 1 such neurons"), "{error}");
}

#[tokio::test]
async fn a_network_has_the_largest_weights_into_each_layer() {
    let parameters = [("epoch", "1"), ("top", "2")];
    let chart = chart(PlotKind::Network, &parameters).await.unwrap();
    let Content::Graph(graph) = &chart.panels[0].content else {
        panic!("{chart:?}")
    };
    assert_eq!(
        graph.columns,
        ["inputs (2 shown)", "L_hidden (2 of 2)", "L_output (2 of 2)"]
    );
    let name = |index: usize| graph.nodes[index].name.as_str();
    let mut edges: Vec<(&str, &str, f64)> = graph
        .edges
        .iter()
        .map(|Edge { from, to, weight }| (name(*from), name(*to), *weight))
        .collect();
    edges.sort_by(|a, b| b.2.total_cmp(&a.2));
    // Step 4: the output layer's units are called by their classes, too.
    assert_eq!(
        edges,
        [
            ("input_2", "n_0", 12.0),
            ("input_1", "n_0", 8.0),
            ("n_0", "n_2: no", 4.25),
            ("n_1", "n_3: yes", -4.0),
        ]
    );
}

/// Writes what silencing neuron 0 costs: of all three samples, and of either class. Accuracies are
/// `after`, before which everything was right.
fn ablate(path: &std::path::Path, digits: &str, name: &str, after: [f64; 3]) {
    let run = trace::RunDir::open(path).unwrap();
    let same = |text: &str| Arc::new(StringArray::from(vec![text; 3]));
    let floats = |values: [f64; 3]| Arc::new(Float64Array::from(values.to_vec()));
    let no_list = || new_null_array(&trace::float_list(), 3);
    let capture = CaptureId {
        epoch: Epoch(1),
        step: Step(4),
    };
    let rows = derived_rows(
        Table::Ablations,
        capture,
        vec![
            same(digits),
            same(name),
            Arc::new(Int32Array::from(vec![1; 3])),
            same("0"),
            same("zero"),
            new_null_array(&DataType::Float64, 3),
            same("all"),
            Arc::new(Int64Array::from(vec![7; 3])),
            Arc::new(StringArray::from(vec!["all", "class", "class"])),
            Arc::new(Int32Array::from(vec![None, Some(0), Some(1)])),
            Arc::new(Int64Array::from(vec![3, 1, 2])),
            same("accuracy"),
            floats([1.0; 3]),
            floats(after),
            floats([0.75; 3]),
            floats([0.125; 3]),
            floats([0.25, 0.5, 0.01]),
            no_list(),
            no_list(),
            no_list(),
        ],
    );
    publish_derived(&run, Table::Ablations, capture, rows.unwrap()).unwrap();
}

#[tokio::test]
async fn an_ablation_has_before_after_and_random_neurons_by_class() {
    let (dir, session) = session();
    let error = PlotKind::Ablation.chart(&session, &[]).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("ablation draws ablations, of which this run has none"),
        "{error}"
    );
    let path = dir.path().join("run");
    ablate(&path, "0000000000000001", "yes_1", [0.5, 1.0, 0.25]);
    ablate(&path, "0000000000000002", "yes_2", [0.75, 1.0, 0.5]);
    let run = Run::open(&path).unwrap();
    let session = run.session(SessionOptions::default()).unwrap();
    let drawn = async |ablation: &str| {
        let parameters = [("ablation".to_owned(), ablation.to_owned())];
        let chart = PlotKind::Ablation
            .chart(&session, &parameters)
            .await
            .unwrap();
        let names = names(&chart.panels[0].y.ticks).join("; ");
        let Content::Points(groups) = chart.panels[0].content.clone() else {
            panic!("{chart:?}")
        };
        (chart.title, names, groups)
    };
    let x = |group: &PointGroup| group.points.iter().map(|point| point.x).collect::<Vec<_>>();

    // The last one, a row a class, from the bottom to the top.
    let (title, names, groups) = drawn("last").await;
    assert_eq!(title, "What silencing yes_2 costs, epoch 1");
    assert_eq!(names, "class yes; class no; all samples");
    let of: Vec<&str> = groups.iter().map(|group| group.name.as_str()).collect();
    assert_eq!(of, ["as it was", "silenced", "random neurons silenced"]);
    assert_eq!(x(&groups[0]), [1.0; 3]);
    assert_eq!(x(&groups[1]), [0.75, 1.0, 0.5]);
    assert_eq!(
        groups[1].points[2].y, 0.0,
        "the last row stands at the bottom"
    );
    assert_eq!(groups[1].points[2].label.as_deref(), Some("p = 0.01"));
    assert_eq!(groups[2].points[0].interval, Some([0.625, 0.875]));

    // By its name or its digits; of all, what became of the class that was meant.
    assert_eq!(drawn("yes_1").await.2, drawn("0000000000000001").await.2);
    let (_, names, groups) = drawn("all").await;
    assert_eq!(
        names,
        "yes_2, epoch 1, class yes; yes_1, epoch 1, class yes"
    );
    assert_eq!(x(&groups[1]), [0.25, 0.5]);

    for (key, value, said) in [
        ("ablation", "yes_3", "ablations named \"yes_3\""),
        ("metric", "loss", "figures of loss after silencing yes_2"),
    ] {
        let parameters = [(key.to_owned(), value.to_owned())];
        let error = PlotKind::Ablation
            .chart(&session, &parameters)
            .await
            .unwrap_err();
        assert!(error.to_string().contains(said), "{error}");
    }
}

#[tokio::test]
async fn another_epoch_may_choose_the_neurons_of_an_association() {
    let parameters = [("epoch", "0"), ("permutations", "0"), ("chosen", "1")];
    let drawn = chart(PlotKind::Association, &parameters).await.unwrap();
    assert_eq!(names(&drawn.panels[0].y.ticks), ["n_0"]);
    assert!(drawn.title.ends_with("epoch 0"), "{}", drawn.title);
}
