//! What pictures show of the tiny run, worked out by hand.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on ends, in its helpers as well"
)]

use std::sync::Arc;

use arrow::array::{Float64Array, Int32Array, Int64Array, StringArray, new_null_array};
use arrow::datatypes::DataType;
use fixtures::{HIDDEN, OUTPUT, Rows, Writer, tiny, weights};
use pictures::PlotKind;
use pictures::chart::{Cells, Chart, Content, Edge, Line, PointGroup, Ticks};
use sql::{QuerySession, Run, SessionOptions};
use tempfile::TempDir;
use trace::{CaptureId, Epoch, RunInfo, Step, Table, Topology, derived_rows, publish_derived};

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

/// A layer, if the table has them, and rows of it.
type Part = (Option<&'static str>, Rows);

/// A run of class names and layers of one's own, with parts of epochs 0, 1, ... at steps 1, 2, ...
fn session_of(
    change: impl FnOnce(&mut RunInfo),
    epochs: Vec<Vec<Part>>,
) -> (TempDir, QuerySession) {
    let dir = TempDir::new().unwrap();
    let mut info = tiny::info().unwrap();
    change(&mut info);
    let mut writer = Writer::create(&dir.path().join("run"), info).unwrap();
    for (epoch, parts) in (0..).zip(epochs) {
        writer.capture(epoch, i64::from(epoch) + 1, parts).unwrap();
    }
    let run = Run::open(writer.finish().path()).unwrap();
    let session = run.session(SessionOptions::default()).unwrap();
    (dir, session)
}

/// Rows of classifications: of each sample its class, the one it is taken for, and the probabilities.
fn classifications(step: i64, samples: &[(i32, i32, Vec<f32>)]) -> Rows {
    let targets: Vec<Option<i32>> = samples.iter().map(|sample| Some(sample.0)).collect();
    let predicted: Vec<Option<i32>> = samples.iter().map(|sample| Some(sample.1)).collect();
    let outputs = samples.iter().map(|sample| sample.2.as_slice());
    fixtures::classifications(step, &targets, &predicted, outputs)
        .floats("confidence", vec![1.0; samples.len()])
}

/// Rows of held-out activations, a list a neuron.
fn activations(step: i64, lists: &[Vec<f32>]) -> Rows {
    let values = lists.iter().map(|list| Some(list.as_slice()));
    fixtures::activations(step, 0, lists[0].len(), values)
}

/// What ECharts is told of the only panel of a chart's page.
fn option(chart: &Chart) -> serde_json::Value {
    let page = pictures::chart::html::page(chart, pictures::chart::Theme::Light);
    let (_, rest) = page
        .split_once("<script type=\"application/json\">")
        .unwrap();
    serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap()
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
            "parameter top is 0, it can be 1 or more",
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
            .svg(pictures::chart::Theme::Light)
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
async fn more_samples_than_can_be_drawn_are_counted_by_place() {
    // Of 3,002 samples every second one is sure of its class at both epochs, the others have 1/4 and 3/4:
    // a mean of 1/2, a standard deviation of 1/4.
    let epoch = |step: i64, unsure: f32| {
        let sample = |index: usize| match index % 2 {
            0 => (0, 0, vec![1.0, 0.0]),
            _ => (1, i32::from(unsure >= 0.5), vec![1.0 - unsure, unsure]),
        };
        let samples: Vec<_> = (0..3002).map(sample).collect();
        vec![(None, classifications(step, &samples))]
    };
    let (_dir, session) = session_of(|_| {}, vec![epoch(1, 0.25), epoch(2, 0.75)]);
    let chart = PlotKind::Cartography.chart(&session, &[]).await.unwrap();
    let cells = cells(&chart);
    let found: Vec<(usize, usize, f64)> = (0..cells.values.len())
        .flat_map(|row| (0..cells.values[row].len()).map(move |column| (row, column)))
        .filter_map(|(row, column)| Some((row, column, cells.values[row][column]?)))
        .collect();
    // 50 rows from the top, 50 columns up to the largest standard deviation that there can be, 1/2.
    let count = 1501.0_f64.log10();
    assert_eq!(found, [(0, 0, count), (24, 25, count)]);
    assert_eq!(names(&chart.panels[0].y.ticks)[24], "50 %");
    assert_eq!(names(&chart.panels[0].x.ticks)[25], "0.25");
    assert!(chart.subtitle.ends_with("3002 held-out samples"));
    assert!(
        chart.notes[1].starts_with("Samples are too many"),
        "{:?}",
        chart.notes
    );
    let drawn = option(&chart);
    assert_eq!(drawn["visualMap"]["powers"], true);
    let counted = drawn["series"][0]["data"][1][2].as_f64().unwrap();
    assert!((counted - 1501.0_f64.log10()).abs() < 1e-9, "{counted}");
    // Cells without samples are no cells.
    assert_eq!(
        option(&chart)["series"][0]["data"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
}

#[tokio::test]
async fn more_classes_than_can_be_drawn_are_put_together() {
    // 150 classes in 100 groups: 0, 1–2, 3, 4–5, ...; all samples are taken for what they are, but the first.
    let sample = |class: i32| (class, if class == 0 { 2 } else { class }, vec![1.0]);
    let samples: Vec<_> = (0..150).map(sample).collect();
    let rows = (None, classifications(1, &samples));
    let called = |info: &mut RunInfo| {
        info.class_names = (0..150).map(|class| format!("c{class}")).collect();
    };
    let (_dir, session) = session_of(called, vec![vec![rows]]);
    let chart = PlotKind::Confusion.chart(&session, &[]).await.unwrap();
    let of_classes = names(&chart.panels[0].y.ticks);
    assert_eq!(of_classes.len(), 100);
    assert_eq!(of_classes[..3], ["c0", "c1–c2", "c3"]);
    assert_eq!(of_classes[99], "c148–c149");
    let cells = cells(&chart);
    assert!(cells.texts.is_none(), "they would not fit");
    assert_eq!(cells.values[0][..3], [Some(0.0), Some(1.0), Some(0.0)]);
    for group in 1..100 {
        assert_eq!(cells.values[group][group], Some(1.0));
    }
    assert_eq!(
        chart.notes,
        ["150 classes in 100 groups, in the order of their numbers."]
    );
}

/// A hidden layer of as many neurons as there are lists, and the classes that the network predicts.
fn hidden(lists: &[Vec<f32>], predicted: &[i32]) -> (TempDir, QuerySession) {
    let num_neurons = lists.len() as u32;
    let layers = |info: &mut RunInfo| {
        let mut layers = info.layers.layers().to_vec();
        layers[0].num_units = num_neurons;
        layers[0].shape = vec![num_neurons.into(), 3];
        layers[1].first_neuron = num_neurons as i32;
        layers[1].source = None;
        info.layers = Topology::try_new(layers).unwrap();
    };
    let samples = predicted
        .iter()
        .map(|&class| (class, class, vec![0.5, 0.5]));
    let samples: Vec<_> = samples.collect();
    let parts = vec![
        (Some(HIDDEN), activations(1, lists)),
        (None, classifications(1, &samples)),
    ];
    session_of(layers, vec![parts])
}

async fn embedded(session: &QuerySession, parameters: &[(&str, &str)]) -> (Chart, Vec<PointGroup>) {
    let parameters = parameters
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    let parameters: Vec<(String, String)> = parameters.collect();
    let chart = PlotKind::Embedding
        .chart(session, &parameters)
        .await
        .unwrap();
    let Content::Points(groups) = chart.panels[0].content.clone() else {
        panic!("{chart:?}")
    };
    (chart, groups)
}

#[tokio::test]
async fn neurons_that_respond_alike_are_beside_each_other_and_have_the_colour_of_their_class() {
    // 24 samples; five neurons respond to those of class 0, three to those of class 1, each a little
    // differently, and two to every third, whatever it is.
    let predicted: Vec<i32> = (0..24).map(|sample| sample / 12).collect();
    let list = |neuron: usize| -> Vec<f32> {
        let value = |sample: usize| match neuron {
            0..5 => 1.0 - predicted[sample] as f32,
            5..8 => predicted[sample] as f32,
            _ => f32::from(u8::from(sample.is_multiple_of(3))),
        };
        let own = |sample: usize| ((neuron * 7 + sample * 5) % 11) as f32 / 100.0;
        (0..24).map(|sample| value(sample) + own(sample)).collect()
    };
    let lists: Vec<Vec<f32>> = (0..10).map(list).collect();
    let (_dir, session) = hidden(&lists, &predicted);
    let of = |groups: &[PointGroup]| -> Vec<(String, Vec<String>)> {
        let names = |group: &PointGroup| {
            group
                .points
                .iter()
                .map(|p| p.label.clone().unwrap())
                .collect()
        };
        groups
            .iter()
            .map(|group| (group.name.clone(), names(group)))
            .collect()
    };
    let neurons =
        |range: std::ops::Range<usize>| range.map(|n| format!("n_{n}")).collect::<Vec<_>>();

    let parameters = [("method", "pca"), ("colour", "class")];
    let (chart, groups) = embedded(&session, &parameters).await;
    assert_eq!(
        of(&groups),
        [
            ("class no (5)".to_owned(), neurons(0..5)),
            ("class yes (3)".to_owned(), neurons(5..8)),
            ("no class (2)".to_owned(), neurons(8..10)),
        ]
    );
    // Who responds alike is nearer than who does not.
    let at =
        |group: usize, point: usize| [groups[group].points[point].x, groups[group].points[point].y];
    let apart = |a: [f64; 2], b: [f64; 2]| (a[0] - b[0]).hypot(a[1] - b[1]);
    assert!(10.0 * apart(at(0, 0), at(0, 4)) < apart(at(0, 0), at(1, 0)));
    assert!(
        chart.panels[0].x.label.starts_with("component 1 ("),
        "{chart:?}"
    );
    assert!(chart.subtitle.contains("10 neurons"), "{}", chart.subtitle);
    assert!(
        chart.subtitle.contains("3 clusters, silhouette 0.9"),
        "{}",
        chart.subtitle
    );

    let (chart, groups) = embedded(&session, &[("colour", "cluster")]).await;
    assert_eq!(
        chart.title,
        "Which neurons respond alike, by t-SNE, epoch 0"
    );
    let clusters = ["cluster 0 (5)", "cluster 1 (3)", "cluster 2 (2)"];
    assert_eq!(
        groups
            .iter()
            .map(|group| group.name.as_str())
            .collect::<Vec<_>>(),
        clusters
    );
    assert_eq!(groups[1].points[0].name, "n_5, L_hidden, cluster 1");
    assert!(
        chart.subtitle.contains("trustworthiness of 4 neighbours"),
        "{}",
        chart.subtitle
    );
    let drawn = option(&chart);
    assert_eq!(drawn["xAxis"]["name"], "t-SNE 1");
    assert_eq!(drawn["legend"]["data"], serde_json::json!(clusters));
    assert_eq!(drawn["series"][2]["data"][1]["text"], "n_9");
    let svg = chart.svg(pictures::chart::Theme::Light);
    for text in ["t-SNE 2", "cluster 2 (2)", "n_9"] {
        assert!(svg.contains(&format!(">{text}</text>")), "{text}");
    }

    let (_, groups) = embedded(&session, &[("method", "pca"), ("clusters", "2")]).await;
    assert_eq!(groups.len(), 1, "by layer, unless told otherwise");
    assert_eq!(groups[0].name, "L_hidden (10)");
    assert!(
        groups[0]
            .points
            .iter()
            .all(|point| !point.name.ends_with("cluster 2"))
    );
}

#[tokio::test]
async fn a_picture_of_noise_says_that_it_shows_nothing() {
    let mut random = analysis::KeyedRng::new([1, 2, 3, 4]);
    let mut list = || {
        (0..40)
            .map(|_| random.below(1000) as f32)
            .collect::<Vec<f32>>()
    };
    let lists: Vec<Vec<f32>> = (0..60).map(|_| list()).collect();
    let (_dir, session) = hidden(&lists, &[0; 40]);
    let (chart, _) = embedded(&session, &[("method", "pca")]).await;
    assert!(
        chart.subtitle.contains("(no substantial structure)"),
        "{}",
        chart.subtitle
    );
    assert!(
        chart
            .subtitle
            .contains("(neighbours in the picture are often none in the data)")
    );
    assert!(
        chart.notes[0].starts_with("This picture shows nothing to rely on"),
        "{:?}",
        chart.notes
    );
}

#[tokio::test]
async fn neurons_that_cannot_be_placed_are_told() {
    for (parameters, said) in [
        (
            [("layer", "L_output"), ("of", "activations")],
            "embedding draws activations of L_output, of which this run has none",
        ),
        (
            [("epoch", "9"), ("of", "weights")],
            "parameter epoch is 9, which was not captured: 3 epochs from 0 to 2 were, the nearest is 2",
        ),
        (
            [("epoch", "all"), ("of", "weights")],
            "parameter epoch is \"all\", which is no Int32, it can be an epoch that was captured, first, last",
        ),
        (
            [("colour", "unit"), ("of", "weights")],
            "it can be layer, class, cluster",
        ),
        (
            [("perplexity", "0"), ("of", "weights")],
            "parameter perplexity is 0",
        ),
        (
            [("method", "tsne"), ("of", "activations")],
            "t-SNE needs 4 neurons at least, here are 2",
        ),
    ] {
        let error = chart(PlotKind::Embedding, &parameters).await.unwrap_err();
        assert!(error.contains(said), "{error}");
    }
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
    // The marks of a row stand one below the other.
    assert!(groups[0].points[2].y > 0.0 && groups[2].points[2].y < 0.0);

    // By its name or its digits; of all, what became of the class that was meant.
    assert_eq!(drawn("yes_1").await.2, drawn("0000000000000001").await.2);
    let (_, names, groups) = drawn("all").await;
    assert_eq!(
        names,
        "yes_2, epoch 1, class yes; yes_1, epoch 1, class yes"
    );
    assert_eq!(x(&groups[1]), [0.25, 0.5]);

    // A page has the intervals as lines behind the marks.
    let drawn = PlotKind::Ablation.chart(&session, &[]).await.unwrap();
    let drawn = option(&drawn);
    assert_eq!(
        drawn["yAxis"]["axisLabel"]["names"],
        serde_json::json!(["class yes", "class no", "all samples"])
    );
    assert_eq!(drawn["xAxis"]["axisLabel"]["share"], true);
    let series = drawn["series"].as_array().unwrap();
    let types: Vec<&str> = series.iter().map(|s| s["type"].as_str().unwrap()).collect();
    assert_eq!(
        types,
        ["line", "line", "line", "scatter", "scatter", "scatter"]
    );
    let of: Vec<&str> = series[3..]
        .iter()
        .map(|s| s["name"].as_str().unwrap())
        .collect();
    assert_eq!(of, ["as it was", "silenced", "random neurons silenced"]);
    assert_eq!(series[0]["data"][0][0], 0.625);
    assert_eq!(
        series[4]["data"][0]["value"],
        serde_json::json!([0.75, 2.0])
    );
    assert_eq!(series[4]["data"][2]["text"], "p = 0.01");

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

/// Rows of `weights` of which none is finite.
fn broken_weights(step: i64) -> Rows {
    let lists: [&[f32]; 2] = [&[f32::NAN; 3], &[f32::INFINITY; 3]];
    weights(step, 0, lists.map(Some)).ints("nonfinite", [3, 3])
}

#[tokio::test]
async fn a_picture_of_what_is_not_finite_says_since_when() {
    let of_epoch = |rows| vec![(Some(HIDDEN), rows)];
    // It went wrong from the beginning.
    let broken = vec![of_epoch(broken_weights(1)), of_epoch(broken_weights(2))];
    let (_dir, session) = session_of(|_| {}, broken);
    let cases: [(PlotKind, &[(&str, &str)]); 3] = [
        (PlotKind::Weights, &[]),
        (PlotKind::Distributions, &[("of", "weights")]),
        (PlotKind::Network, &[]),
    ];
    for (kind, parameters) in cases {
        let parameters: Vec<(String, String)> = parameters
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        let error = kind.chart(&session, &parameters).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "{} has nothing to draw: weights of L_hidden are not finite since epoch 0; training has \
                 diverged",
                kind.name()
            )
        );
    }

    // It went wrong later: what was before is drawn, and the first epoch that was not is told.
    let later = vec![
        of_epoch(tiny::hidden_weights(1)),
        of_epoch(broken_weights(2)),
        of_epoch(broken_weights(3)),
    ];
    let (_dir, session) = session_of(|_| {}, later);
    let network = async |epoch: &str| {
        let parameters = [("epoch".to_owned(), epoch.to_owned())];
        PlotKind::Network.chart(&session, &parameters).await
    };
    let told = "weights of L_hidden are not finite since epoch 1";
    let error = network("2").await.unwrap_err().to_string();
    assert!(error.contains(told), "{error}");
    let before = network("0").await.unwrap();
    assert!(
        before.notes.iter().all(|note| !note.contains("not finite")),
        "{:?}",
        before.notes
    );
    let found = session.not_finite(Table::Weights, Some(HIDDEN)).await;
    assert_eq!(found.unwrap().unwrap().since, 1);
    let others = session.not_finite(Table::Weights, Some(OUTPUT)).await;
    assert_eq!(others.unwrap(), None);
    assert_eq!(
        session.not_finite(Table::Metrics, None).await.unwrap(),
        None
    );
}
