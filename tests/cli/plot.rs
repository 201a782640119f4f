//! `query plot` on real runs.

use std::fs;

use serde_json::Value;
use stratigraph::{Browser, Scratch, run};

/// Two hidden layers of 12 and 6 units, 4 epochs of the digits.
fn digits() -> Scratch {
    let scratch = Scratch::new();
    scratch.train(&["--hidden", "12,6", "--epochs", "4", "--out", "run"]);
    scratch
}

const KINDS: [&str; 9] = [
    "curves",
    "confusion",
    "weights",
    "distributions",
    "association",
    "correlation",
    "embedding",
    "network",
    "cartography",
];

fn plot(scratch: &Scratch, arguments: &[&str]) {
    let done = run(scratch.query(&["plot"]).args(arguments));
    let path = arguments.last().unwrap();
    assert_eq!(done.stderr, format!("picture written to {path}\n"));
    assert_eq!(done.expect_success(), "");
}

/// What ECharts is told of each panel of a page.
fn options(scratch: &Scratch, page: &str) -> Vec<Value> {
    let page = fs::read_to_string(scratch.path(page)).unwrap();
    let parts = page.split("<script type=\"application/json\">").skip(1);
    parts
        .map(|part| serde_json::from_str(part.split_once("</script>").unwrap().0).unwrap())
        .collect()
}

fn texts<'a>(values: impl IntoIterator<Item = &'a Value>) -> Vec<&'a str> {
    values
        .into_iter()
        .map(|value| value.as_str().unwrap())
        .collect()
}

#[test]
fn every_kind_is_drawn_in_every_way() {
    let scratch = digits();
    for kind in KINDS {
        for theme in ["light", "dark"] {
            let file = |suffix: &str| format!("{kind}-{theme}.{suffix}");
            for suffix in ["svg", "png", "html"] {
                let arguments = [kind, "run", "--theme", theme, "--scale", "1"];
                plot(&scratch, &[&arguments[..], &["-o", &file(suffix)]].concat());
            }
            let svg = fs::read_to_string(scratch.path(&file("svg"))).unwrap();
            let page = fs::read_to_string(scratch.path(&file("html"))).unwrap();
            for said in ["run run", "data set digits"] {
                assert!(svg.contains(said) && page.contains(said), "{kind}: {said}");
            }
            assert!(
                fs::read(scratch.path(&file("png")))
                    .unwrap()
                    .starts_with(b"\x89PNG")
            );
        }
    }
}

#[test]
fn a_heat_map_shows_the_statistics_of_each_unit_and_epoch() {
    let scratch = digits();
    plot(
        &scratch,
        &[
            "weights",
            "run",
            "--param",
            "layer=L_hidden_1",
            "-o",
            "weights.html",
        ],
    );
    let [option] = options(&scratch, "weights.html").try_into().unwrap();
    let epochs = option["xAxis"]["data"].as_array().unwrap();
    assert_eq!(texts(epochs), ["0", "1", "2", "3"]);
    assert_eq!(option["yAxis"]["data"].as_array().unwrap().len(), 6);
    let sql = "SELECT unit, epoch, weight_l2 FROM weights WHERE layer = 'L_hidden_1' \
               ORDER BY unit, epoch";
    let expected = scratch.rows("run", sql);
    let cells = option["series"][0]["data"].as_array().unwrap();
    assert_eq!(cells.len(), expected.len());
    for (cell, row) in cells.iter().zip(&expected) {
        assert_eq!(cell[0], row["epoch"]);
        assert_eq!(cell[1], row["unit"]);
        let (drawn, recorded) = (&cell[2], &row["weight_l2"]);
        let distance = drawn.as_f64().unwrap() - recorded.as_f64().unwrap();
        assert!(distance.abs() < 1e-6, "{cell} {row}");
    }
}

#[test]
fn ridges_have_all_values_but_zeros() {
    let scratch = digits();
    let arguments = ["--param", "of=activations", "--param", "layer=L_input"];
    let page = ["-o", "ridges.html"];
    plot(
        &scratch,
        &[&["distributions", "run"], &arguments[..], &page].concat(),
    );
    let [option] = options(&scratch, "ridges.html").try_into().unwrap();
    let series = option["series"].as_array().unwrap();
    // The latest stands at the back.
    assert_eq!(
        texts(series.iter().map(|ridge| &ridge["name"])),
        ["epoch 3", "epoch 2", "epoch 1", "epoch 0"]
    );
    let sql = "SELECT epoch, 100.0 * sum(zeros) / sum(num_samples) AS zeros FROM activations \
               WHERE layer = 'L_input' GROUP BY epoch ORDER BY epoch DESC";
    let zeros = scratch.rows("run", sql);
    // Of what is not 0, how much lies in the lower half of the axis.
    let sql = "SELECT epoch, avg(CASE WHEN value < (SELECT (min(activation_min) + max(activation_max)) / 2 \
               FROM activations WHERE layer = 'L_input') THEN 1.0 ELSE 0.0 END) AS low \
               FROM (SELECT epoch, unnest(activations) AS value FROM activations WHERE layer = 'L_input') \
               WHERE value <> 0 GROUP BY epoch ORDER BY epoch DESC";
    let low = scratch.rows("run", sql);
    for (index, ridge) in series.iter().enumerate() {
        let said = format!("{:.0} % are 0", zeros[index]["zeros"].as_f64().unwrap());
        assert_eq!(ridge["endLabel"]["text"], said.as_str());
        let base = ridge["areaStyle"]["origin"].as_f64().unwrap();
        let points = ridge["data"].as_array().unwrap().iter();
        let heights: Vec<f64> = points.map(|p| p[1].as_f64().unwrap() - base).collect();
        let all: f64 = heights.iter().sum();
        let lower: f64 = heights[..heights.len() / 2].iter().sum();
        let expected = low[index]["low"].as_f64().unwrap();
        // A value at the border may be rounded to either side.
        assert!(
            (lower / all - expected).abs() < 0.002,
            "{lower} of {all}, {expected}"
        );
    }
}

#[test]
fn histograms_stand_in_for_values() {
    let scratch = Scratch::new();
    let train = ["--hidden", "6", "--epochs", "2", "--weights", "stats"];
    scratch.train(&[&train[..], &["--histograms", "40", "--out", "run"]].concat());
    plot(&scratch, &["distributions", "run", "-o", "ridges.html"]);
    let [option] = options(&scratch, "ridges.html").try_into().unwrap();
    assert_eq!(option["series"].as_array().unwrap().len(), 2);

    // Statistics alone are told, with what would have been needed.
    scratch.train(&[&train[..], &["--out", "stats"]].concat());
    let failed = run(&mut scratch.query(&["plot", "distributions", "stats", "-o", "no.svg"]));
    let told = failed.expect_failure(1);
    assert!(told.contains("statistics of them alone"), "{told}");
    assert!(!scratch.path("no.svg").exists());
}

#[test]
fn correlations_are_symmetric_and_one_on_the_diagonal() {
    let scratch = digits();
    plot(&scratch, &["correlation", "run", "-o", "correlation.html"]);
    let [option] = options(&scratch, "correlation.html").try_into().unwrap();
    let neurons = texts(option["xAxis"]["data"].as_array().unwrap());
    let mut value = std::collections::BTreeMap::new();
    for cell in option["series"][0]["data"].as_array().unwrap() {
        let place = |axis: usize| cell[axis].as_u64().unwrap() as usize;
        value.insert((place(0), place(1)), cell[2].as_f64().unwrap());
    }
    // As SQL has it, for a pair.
    let sql = format!(
        "SELECT vec_corr(a.activations, b.activations) AS r FROM activations a, activations b \
         WHERE a.epoch = 3 AND b.epoch = 3 AND a.neuron = {} AND b.neuron = {}",
        neurons[0], neurons[1]
    );
    let expected = scratch.rows("run", &sql)[0]["r"].as_f64().unwrap();
    assert!((value[&(0, 1)] - expected).abs() < 1e-6);
    for row in 0..neurons.len() {
        assert_eq!(value[&(row, row)], 1.0);
        for column in 0..row {
            assert_eq!(value[&(row, column)], value[&(column, row)]);
        }
    }
}

#[test]
fn many_units_are_put_together() {
    let scratch = Scratch::new();
    scratch.train(&["--hidden", "300", "--epochs", "2", "--out", "run"]);
    for (kind, most) in [("weights", 64), ("correlation", 128), ("association", 40)] {
        plot(&scratch, &[kind, "run", "-o", &format!("{kind}.html")]);
        let [option] = options(&scratch, &format!("{kind}.html"))
            .try_into()
            .unwrap();
        assert_eq!(
            option["yAxis"]["data"].as_array().unwrap().len(),
            most,
            "{kind}"
        );
        let page = fs::read_to_string(scratch.path(&format!("{kind}.html"))).unwrap();
        assert!(page.contains("300 "), "{kind} says how many there are");
    }
}

#[test]
fn mistakes_are_told_and_leave_no_file() {
    let scratch = digits();
    let failed = |arguments: &[&str], code: i32| {
        run(scratch.query(&["plot"]).args(arguments)).expect_failure(code)
    };
    let told = failed(&["confuson", "run", "-o", "x.svg"], 2);
    assert!(told.contains("'confusion'"), "{told}");
    assert!(failed(&["curves", "run", "-o", "x.gif"], 2).contains("an .svg, a .png or an .html"));
    let told = failed(
        &["confusion", "run", "--param", "epoch=9", "-o", "x.svg"],
        1,
    );
    assert!(
        told.contains(
            "epoch is 9, which was not captured: 4 epochs from 0 to 3 were, the nearest is 3"
        ),
        "{told}"
    );
    assert!(!scratch.path("x.svg").exists());

    let told = failed(
        &["embedding", "run", "--param", "of=weights", "-o", "x.svg"],
        1,
    );
    assert!(
        told.contains(
            "layers whose neurons have different numbers of weights are not drawn together: choose a layer \
             (L_input, L_hidden_1)"
        ),
        "{told}"
    );

    fs::write(scratch.path("mine.png"), "mine").unwrap();
    let told = failed(&["curves", "run", "-o", "mine.png"], 1);
    assert!(
        told.contains("mine.png exists; --force replaces it"),
        "{told}"
    );
    assert_eq!(fs::read(scratch.path("mine.png")).unwrap(), b"mine");
    plot(&scratch, &["curves", "run", "--force", "-o", "mine.png"]);

    scratch.train(&[
        "--hidden", "4", "--epochs", "1", "--record", "metrics", "--out", "bare",
    ]);
    plot(&scratch, &["curves", "bare", "-o", "bare.svg"]);
    for kind in &KINDS[1..] {
        let told = failed(&[kind, "bare", "-o", "x.svg"], 1);
        assert!(
            told.contains("of which this run has none"),
            "{kind}: {told}"
        );
    }
}

#[test]
fn a_browser_draws_every_page() {
    let scratch = digits();
    let Some(mut browser) = Browser::start(&scratch, "pages of `query plot`") else {
        return;
    };
    let ablate = [
        "ablate",
        "run",
        "--epoch",
        "last",
        "--neurons",
        "0,1",
        "--draws",
        "9",
    ];
    run(&mut scratch.recorder(&ablate)).expect_success();
    for (kind, told) in [
        ("curves", "epoch"),
        ("confusion", "taken for"),
        ("weights", "unit"),
        ("distributions", "weight"),
        ("association", "neuron"),
        ("correlation", "neuron"),
        ("embedding", "t-SNE 1"),
        ("network", "input_"),
        ("cartography", "never right"),
        ("ablation", "random neurons silenced"),
    ] {
        let page = format!("{kind}.html");
        plot(&scratch, &[kind, "run", "-o", &page]);
        for size in [[1000, 800], [390, 844]] {
            browser.show(&scratch.path(&page), size);
            let drawn = "[...document.querySelectorAll('.chart-panel svg')].map((s) => s.textContent).join()";
            let drawn = browser.value_of(drawn);
            assert!(drawn.as_str().unwrap().contains(told), "{kind}: {drawn}");
            let width = browser.value_of("document.documentElement.scrollWidth");
            assert_eq!(width, size[0], "{kind}");
            assert_eq!(browser.complaints(), [""; 0], "{kind}");
            if kind == "cartography" {
                // On a phone the legend takes more rows than one, and the figure grows by them.
                let height =
                    browser.value_of("document.querySelector('.chart-panel').clientHeight");
                assert_eq!(
                    height.as_u64() > Some(600),
                    size[0] < 600,
                    "{size:?}: {height}"
                );
            }
        }
    }
}
