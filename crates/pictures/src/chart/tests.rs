use serde_json::Value;

use super::*;

fn cells() -> Chart {
    Chart {
        title: "Title & <more>".to_owned(),
        subtitle: "of $this$ run".to_owned(),
        panels: vec![Panel {
            title: None,
            x: Axis::names("taken for", vec!["cat".to_owned(), "dog".to_owned()]),
            y: Axis::names("class", vec!["cat".to_owned(), "</script>".to_owned()]),
            content: Content::Cells(Cells {
                values: vec![vec![Some(0.75), Some(0.25)], vec![None, Some(1.0)]],
                texts: Some(vec![
                    vec!["33".to_owned(), "11".to_owned()],
                    vec!["0".to_owned(), "44".to_owned()],
                ]),
                scale: ColourScale::Sequential,
                beyond: None,
                legend: "share".to_owned(),
                ticks: Ticks::Shares,
            }),
        }],
        notes: vec!["a note".to_owned()],
    }
}

fn lines() -> Chart {
    let line = |name: &str, from: f64| Line {
        name: name.to_owned(),
        points: vec![[0.0, from], [1.0, from / 2.0], [2.0, from / 4.0]],
    };
    Chart {
        title: "Learning".to_owned(),
        subtitle: String::new(),
        panels: vec![
            Panel {
                title: Some("Loss".to_owned()),
                x: Axis::whole("epoch"),
                y: Axis::numbers("mean loss"),
                content: Content::Lines(vec![line("training", 2.0), line("held out", 3.0)]),
            },
            Panel {
                title: None,
                x: Axis::whole("epoch"),
                y: Axis::shares("accuracy"),
                content: Content::Lines(vec![line("training", 1.0)]),
            },
        ],
        notes: Vec::new(),
    }
}

fn ridges() -> Chart {
    let ridge = |base: usize| Ridge {
        name: format!("epoch {base}"),
        base: base as f64,
        points: vec![[-1.0, 0.0], [0.0, 2.0], [1.0, 0.5]],
        remark: Some(format!("{base} % are 0")),
    };
    let names = (0..3).map(|epoch| epoch.to_string()).collect();
    Chart {
        title: "Spread".to_owned(),
        subtitle: String::new(),
        panels: vec![Panel {
            title: None,
            x: Axis::numbers("weight"),
            y: Axis::names("epoch", names),
            content: Content::Ridges((0..3).map(ridge).collect()),
        }],
        notes: Vec::new(),
    }
}

fn points() -> Chart {
    let group = |name: &str, labelled| PointGroup {
        name: name.to_owned(),
        points: (0..4)
            .map(|index| Point {
                x: f64::from(index),
                y: f64::from(index * index),
                name: format!("{name}-{index}"),
                label: (labelled && index == 3).then(|| format!("the {name} one")),
                interval: None,
            })
            .collect(),
    };
    Chart {
        title: "Points".to_owned(),
        subtitle: String::new(),
        panels: vec![Panel {
            title: None,
            x: Axis::numbers("across"),
            y: Axis::numbers("up"),
            content: Content::Points(vec![group("easy", true), group("hard", false)]),
        }],
        notes: Vec::new(),
    }
}

fn graph() -> Chart {
    let node = |name: &str, column, place| Node {
        name: name.to_owned(),
        column,
        place,
    };
    Chart {
        title: "Graph".to_owned(),
        subtitle: String::new(),
        panels: vec![Panel {
            title: None,
            x: Axis::whole("layer"),
            y: Axis::whole("unit"),
            content: Content::Graph(Graph {
                columns: vec!["inputs".to_owned(), "hidden".to_owned(), "out".to_owned()],
                nodes: vec![
                    node("input_0", 0, 0.25),
                    node("n_0", 1, 0.5),
                    node("n_1", 2, 0.5),
                ],
                edges: vec![
                    Edge {
                        from: 0,
                        to: 1,
                        weight: -0.5,
                    },
                    Edge {
                        from: 1,
                        to: 2,
                        weight: 8.0,
                    },
                ],
                legend: "weight".to_owned(),
            }),
        }],
        notes: Vec::new(),
    }
}

/// The texts of an SVG, in the order in which they stand in it.
fn texts(svg: &str) -> Vec<String> {
    let mut texts = Vec::new();
    for part in svg.split("<text ").skip(1) {
        let (_, rest) = part.split_once('>').unwrap();
        let (text, _) = rest.split_once("</text>").unwrap();
        texts.push(text.to_owned());
    }
    texts
}

fn has(svg: &str, expected: &[&str]) {
    let texts = texts(svg);
    for text in expected {
        assert!(texts.iter().any(|t| t == text), "no {text:?} in {texts:?}");
    }
}

/// What ECharts is told of each panel of a page.
fn options(page: &str) -> Vec<Value> {
    let parts = page.split("<script type=\"application/json\">").skip(1);
    parts
        .map(|part| {
            let (json, _) = part.split_once("</script>").unwrap();
            serde_json::from_str(json).unwrap()
        })
        .collect()
}

#[test]
fn an_svg_has_titles_axes_names_values_and_notes() {
    let svg = cells().svg(Theme::Light);
    has(
        &svg,
        &[
            "Title &amp; &lt;more&gt;",
            // Dollar signs make no formula.
            "of $this$ run",
            "taken for",
            "class",
            "cat",
            "dog",
            "&lt;/script&gt;",
            "share",
            "33",
            "44",
            "a note",
        ],
    );
    // The cell without a value has a colour of its own.
    assert!(svg.contains(Theme::Light.missing()), "{svg}");
    let svg = lines().svg(Theme::Light);
    has(
        &svg,
        &[
            "Loss",
            "mean loss",
            "accuracy",
            "epoch",
            "training",
            "held out",
        ],
    );
    for colour in [Theme::Light.series(0), Theme::Light.series(1)] {
        assert!(
            svg.to_lowercase().contains(&colour.to_lowercase()),
            "{colour}"
        );
    }
    has(
        &ridges().svg(Theme::Light),
        &["weight", "epoch", "0", "1", "2", "2 % are 0"],
    );
    has(
        &points().svg(Theme::Light),
        &["across", "up", "easy", "hard", "the easy one"],
    );
    has(
        &graph().svg(Theme::Light),
        &[
            "inputs",
            "hidden",
            "out",
            "input_0",
            "n_1",
            "negative weight",
            "positive weight",
        ],
    );
}

#[test]
fn an_svg_holds_no_character_that_xml_cannot() {
    let mut chart = cells();
    chart.notes.push("a\u{1b}b\u{0}c\u{ffff}d".to_owned());
    let svg = chart.svg(Theme::Light);
    assert!(svg.contains(">a\u{fffd}b\u{fffd}c\u{fffd}d</text>"));
}

#[test]
fn rows_of_cells_go_from_top_to_bottom() {
    // The values 33 and 11 are those of the first row, above 0 and 44.
    let svg = cells().svg(Theme::Light);
    let y_of = |text: &str| -> f64 {
        let (before, _) = svg.split_once(&format!(">{text}</text>")).unwrap();
        let (_, attributes) = before.rsplit_once("<text ").unwrap();
        let (_, y) = attributes.split_once(" y=\"").unwrap();
        y.split_once('"').unwrap().0.parse().unwrap()
    };
    assert!(y_of("33") < y_of("44"));
    assert_eq!(y_of("33"), y_of("11"));
}

#[test]
fn a_dark_picture_is_light_on_dark() {
    for chart in [cells(), lines(), ridges(), points(), graph()] {
        let svg = chart.svg(Theme::Dark);
        assert!(
            svg.contains(&format!("fill=\"{}\"", Theme::Dark.text())),
            "{svg}"
        );
        assert!(svg.contains(Theme::Dark.ground()), "{svg}");
        assert!(!svg.contains("fill=\"white\""), "{svg}");
    }
}

#[test]
fn a_png_is_as_wide_as_it_says() {
    for chart in [cells(), lines(), ridges(), points(), graph()] {
        let png = chart.png(Theme::Light, 1).unwrap();
        assert_eq!(&png[1..4], b"PNG");
        let size = |png: &[u8], at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
        assert_eq!(size(&png, 16), 960);
        assert!(size(&png, 20) > 300);
        if chart == cells() {
            let twice = chart.png(Theme::Light, 2).unwrap();
            for side in [16, 20] {
                assert_eq!(size(&twice, side), 2 * size(&png, side));
            }
        }
    }
}

#[test]
fn a_page_needs_nothing_else_and_holds_what_the_image_shows() {
    let page = html::page(&cells(), Theme::Dark);
    assert!(page.starts_with("<!DOCTYPE html>"));
    assert!(page.contains("<title>Title &amp; &lt;more&gt;</title>"));
    for outside in ["src=", "href=", "@import"] {
        let own = page.replace(include_str!("../../vendor/echarts/echarts.min.js"), "");
        assert!(!own.contains(outside), "{outside}");
    }
    // The licence comes along.
    assert!(page.contains("Licensed to the Apache Software Foundation"));

    let options = options(&page);
    let [option] = options.as_slice() else {
        panic!("{options:?}")
    };
    assert_eq!(option["xAxis"]["name"], "taken for");
    assert_eq!(option["xAxis"]["data"], serde_json::json!(["cat", "dog"]));
    assert_eq!(option["yAxis"]["data"][1], "</script>");
    assert_eq!(option["yAxis"]["inverse"], true);
    assert_eq!(option["visualMap"]["text"][1], "share");
    let data = option["series"][0]["data"].as_array().unwrap();
    assert_eq!(data.len(), 3, "one of four cells has no value");
    assert_eq!(data[2]["value"], serde_json::json!([1, 1, 1.0]));
    assert_eq!(data[2]["text"], "44");
}

#[test]
fn a_page_has_the_series_of_each_panel() {
    let names = |option: &Value| -> Vec<String> {
        let series = option["series"].as_array().unwrap().iter();
        series
            .map(|s| s["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let found = options(&html::page(&lines(), Theme::Light));
    assert_eq!(found.len(), 2);
    assert_eq!(names(&found[0]), ["training", "held out"]);
    assert_eq!(
        found[0]["series"][1]["data"][1],
        serde_json::json!([1.0, 1.5])
    );
    assert_eq!(found[0]["title"]["text"], "Loss");
    assert_eq!(found[1]["yAxis"]["axisLabel"]["share"], true);

    // From the back to the front.
    let found = options(&html::page(&ridges(), Theme::Light));
    assert_eq!(names(&found[0]), ["epoch 2", "epoch 1", "epoch 0"]);
    assert_eq!(
        found[0]["series"][0]["data"][1],
        serde_json::json!([0.0, 4.0])
    );
    assert_eq!(found[0]["series"][0]["areaStyle"]["origin"], 2.0);

    let found = options(&html::page(&points(), Theme::Light));
    assert_eq!(names(&found[0]), ["easy", "hard"]);
    assert_eq!(found[0]["series"][0]["data"][3]["label"]["show"], true);
    assert_eq!(found[0]["series"][0]["data"][2]["label"], Value::Null);

    let found = options(&html::page(&graph(), Theme::Light));
    let series = &found[0]["series"][0];
    assert_eq!(series["nodes"].as_array().unwrap().len(), 3);
    assert_eq!(series["links"][0]["name"], "input_0 → n_0: weight -0.5");
    // Each is the largest into its column.
    assert_eq!(series["links"][0]["lineStyle"]["width"], 5.0);
    assert_eq!(series["links"][1]["lineStyle"]["width"], 5.0);
    assert_ne!(
        series["links"][0]["lineStyle"]["color"],
        series["links"][1]["lineStyle"]["color"]
    );
}

#[test]
fn points_may_stand_in_rows_that_have_names_and_have_intervals() {
    let mut chart = points();
    let names = [
        "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    ];
    chart.panels[0].y = Axis::names("row", names.map(str::to_owned).to_vec());
    let Content::Points(groups) = &mut chart.panels[0].content else {
        panic!("{chart:?}")
    };
    groups[1].points[0].interval = Some([-1.0, 2.0]);
    has(&chart.svg(Theme::Light), &["one", "ten", "row"]);

    let found = options(&html::page(&chart, Theme::Light));
    let series = found[0]["series"].as_array().unwrap();
    assert_eq!(found[0]["yAxis"]["axisLabel"]["names"][9], "ten");
    // The interval is a line of the group's own colour, behind the points.
    assert_eq!(series.len(), 3);
    assert_eq!(series[0]["type"], "line");
    assert_eq!(
        series[0]["data"],
        serde_json::json!([[-1.0, 0.0], [2.0, 0.0]])
    );
    assert_eq!(series[0]["color"], series[2]["color"]);
}

#[test]
fn no_text_is_a_template() {
    // ECharts looks for `{a}`, `{b}` and `{value}` in formatters that are strings.
    fn has_formatter(value: &Value) -> bool {
        match value {
            Value::Object(entries) => {
                entries.contains_key("formatter") || entries.values().any(has_formatter)
            }
            Value::Array(values) => values.iter().any(has_formatter),
            _ => false,
        }
    }
    for chart in [cells(), lines(), ridges(), points(), graph()] {
        for option in options(&html::page(&chart, Theme::Light)) {
            assert!(!has_formatter(&option), "{option}");
        }
    }
}

#[test]
fn a_cell_without_text_is_no_larger_than_its_value() {
    let mut chart = cells();
    let Content::Cells(cells) = &mut chart.panels[0].content else {
        panic!("{chart:?}")
    };
    cells.texts.as_mut().unwrap()[0][1] = String::new();
    let found = options(&html::page(&chart, Theme::Light));
    let data = &found[0]["series"][0]["data"];
    assert_eq!(data[1], serde_json::json!([1, 0, 0.25]));
    assert_eq!(data[0]["text"], "33");
}

#[test]
fn numbers_are_short() {
    let cases = [
        (0.0, "0"),
        (1.0, "1"),
        (-0.5, "-0.5"),
        (0.123_456, "0.1235"),
        (1234.56, "1235"),
        (99_999.0, "99999"),
        (1.5e9, "1.50e9"),
        (0.000_012_3, "1.23e-5"),
    ];
    for (value, text) in cases {
        assert_eq!(number(value), text);
    }
}

#[test]
fn names_are_thinned_to_those_that_fit() {
    let names: Vec<String> = (0..5).map(|index| index.to_string()).collect();
    assert_eq!(thinned(&names, 5), names);
    assert_eq!(thinned(&names, 3), ["0", "", "2", "", "4"]);
    assert_eq!(thinned(&names, 0), ["0", "", "", "", ""]);
}

#[test]
fn a_film_holds_every_frame_and_shows_the_last() {
    let frame = |at: i64, largest: f64| {
        let mut chart = cells();
        chart.subtitle = format!("epoch {at}");
        let Content::Cells(cells) = &mut chart.panels[0].content else {
            panic!("{chart:?}")
        };
        cells.values[1][1] = Some(largest);
        html::Frame { at, chart }
    };
    let film = html::film("epoch", &[frame(0, 0.5), frame(7, 2.0)], Theme::Light);
    let [frames] = options(&film).try_into().unwrap();
    let frames = frames.as_array().unwrap();
    assert_eq!(frames[0]["series"][0]["data"][2]["value"][2], 0.5);
    assert_eq!(frames[1]["series"][0]["data"][2]["value"][2], 2.0);
    for frame in frames {
        assert_eq!(
            (&frame["visualMap"]["min"], &frame["visualMap"]["max"]),
            (&Value::from(0.25), &Value::from(2.0)),
            "colours mean the same in each"
        );
    }
    for told in [
        "<p data-texts=\"[&quot;epoch 0&quot;,&quot;epoch 7&quot;]\">epoch 7</p>",
        "<h3>Title &amp; &lt;more&gt;</h3>",
        "<p>a note</p>",
        "<output>7</output>",
        "aria-label=\"epoch: Title &amp; &lt;more&gt;\"",
        "max=\"1\" value=\"1\"",
        "data-moments=\"[0,7]\"",
    ] {
        assert!(film.contains(told), "{told}: {film}");
    }

    let one = html::film("epoch", &[frame(7, 2.0)], Theme::Light);
    assert!(options(&one)[0].is_object());
    assert!(!one.contains("<input"));
    assert_eq!(html::film("epoch", &[], Theme::Light), "");
}

#[test]
fn points_of_a_film_stand_between_the_same_axes() {
    let frame = |at: i64, by: f64| {
        let mut chart = points();
        let Content::Points(groups) = &mut chart.panels[0].content else {
            panic!("{chart:?}")
        };
        for point in groups.iter_mut().flat_map(|group| &mut group.points) {
            point.x *= by;
        }
        html::Frame { at, chart }
    };
    let film = html::film("epoch", &[frame(0, 1.0), frame(1, 10.0)], Theme::Light);
    let [frames] = options(&film).try_into().unwrap();
    // From 0 to 30, and to 9, with a twentieth more to a tenth of the range's power of ten.
    for frame in frames.as_array().unwrap() {
        for (axis, ends) in [("xAxis", [-2.0, 32.0]), ("yAxis", [-0.5, 9.5])] {
            for (end, expected) in ["min", "max"].into_iter().zip(ends) {
                let found = frame[axis][end].as_f64().unwrap();
                assert!((found - expected).abs() < 1e-9, "{axis} {end}: {found}");
            }
        }
    }
}

#[test]
fn axes_of_a_film_leave_little_room_beside_its_points() {
    let frame = |at: i64, ends: [f64; 2]| {
        let mut chart = points();
        let Content::Points(groups) = &mut chart.panels[0].content else {
            panic!("{chart:?}")
        };
        for group in groups {
            group.points.truncate(2);
            for (point, x) in group.points.iter_mut().zip(ends) {
                (point.x, point.y) = (x, 7.0);
            }
        }
        html::Frame { at, chart }
    };
    let frames = [frame(0, [10.0, 12.0]), frame(1, [15.0, 20.0])];
    let [frames] = options(&html::film("epoch", &frames, Theme::Light))
        .try_into()
        .unwrap();
    let ends = |axis: &str| ["min", "max"].map(|end| frames[0][axis][end].as_f64().unwrap());
    assert_eq!(ends("xAxis"), [9.0, 21.0]);
    // All at one place have some room as well.
    let [low, high] = ends("yAxis");
    assert!(
        6.0 < low && low < 7.0 && 7.0 < high && high < 8.0,
        "{low} {high}"
    );
}

#[test]
fn labels_without_room_are_counted_below_the_picture() {
    let mut chart = points();
    let Content::Points(groups) = &mut chart.panels[0].content else {
        panic!("{chart:?}")
    };
    let crowd = (0..100).map(|index| Point {
        x: 1.0 + f64::from(index) / 1e6,
        y: 4.0,
        name: format!("point {index}"),
        label: Some(format!("label {index}")),
        interval: None,
    });
    groups[1].points = crowd.collect();
    let svg = chart.svg(Theme::Light);
    let note = texts(&svg)
        .into_iter()
        .find(|text| text.ends_with("left out."));
    let note = note.unwrap();
    let written = texts(&svg)
        .iter()
        .filter(|text| text.starts_with("label "))
        .count();
    // And that of another group.
    assert!(
        note.starts_with(&format!("{} of 101 labels", 100 - written)),
        "{note}"
    );
    assert!(written > 0);
    has(&svg, &["the easy one"]);

    let page = html::page(&chart, Theme::Light);
    assert!(page.contains("Labels that would overlap are hidden"));
    let series = &options(&page)[0]["series"];
    assert_eq!(series[1]["labelLayout"]["hideOverlap"], true);
    assert_eq!(series[1]["data"][7]["text"], "label 7");
    assert_eq!(series[1]["data"][7]["name"], "point 7");
}

/// In how many pieces a colour is in the row of an image that has most of them.
fn pieces(png: &[u8], colour: &str) -> usize {
    let mut reader = png::Decoder::new(std::io::Cursor::new(png))
        .read_info()
        .unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let frame = reader.next_frame(&mut pixels).unwrap();
    let num_channels = frame.color_type.samples();
    let channel = |at: usize| u8::from_str_radix(&colour[at..at + 2], 16).unwrap();
    let colour = [channel(1), channel(3), channel(5)];
    let rows = pixels[..frame.buffer_size()].chunks_exact(frame.line_size);
    let in_row = |row: &[u8]| {
        let has: Vec<bool> = row
            .chunks_exact(num_channels)
            .map(|pixel| pixel[..3] == colour)
            .collect();
        let begins = |pair: &[bool]| !pair[0] && pair[1];
        has.windows(2).filter(|pair| begins(pair)).count()
    };
    rows.map(in_row).max().unwrap()
}

#[test]
fn the_second_line_is_dashed_in_a_png_too() {
    let mut chart = lines();
    chart.panels.truncate(1);
    let Content::Lines(lines) = &mut chart.panels[0].content else {
        panic!("{chart:?}")
    };
    for (line, y) in lines.iter_mut().zip([1.0, 2.0]) {
        line.points = (0..60).map(|epoch| [f64::from(epoch), y]).collect();
    }
    let png = chart.png(Theme::Light, 2).unwrap();
    // Across 800 pixels, a dash and a gap take 12; beside each line is its place in the legend.
    assert!(pieces(&png, Theme::Light.series(0)) <= 2);
    let dashes = pieces(&png, Theme::Light.series(1));
    assert!((50..=70).contains(&dashes), "{dashes}");
    assert!(chart.svg(Theme::Light).contains("stroke-dasharray"));
}

#[test]
fn a_subtitle_is_broken_between_its_parts() {
    let mut chart = cells();
    let part = "a part of about forty characters or so";
    chart.subtitle = [part, "brief", part, part].join(BETWEEN);
    let svg = chart.svg(Theme::Light);
    let first = format!("{part} · brief · {part} ·");
    has(&svg, &[first.as_str(), part]);
    // A part that is longer than a line is broken between words.
    chart.subtitle = [part; 5].join(" ");
    let lines = texts(&chart.svg(Theme::Light));
    let lines: Vec<&String> = lines.iter().filter(|line| line.contains("part")).collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    let words = lines.iter().flat_map(|line| line.split(' '));
    assert_eq!(words.collect::<Vec<_>>().join(" "), chart.subtitle);
}

/// Names that would end a document, colour a terminal or be no XML at all.
fn hostile() -> Chart {
    let mut chart = cells();
    let name = "</script><!-- ]]>&\"'\u{1b}[31m\0\u{b}\u{fffe}\u{202e}{a}$x$";
    chart.title = name.to_owned();
    chart.subtitle = name.to_owned();
    chart.notes = vec![name.to_owned()];
    let panel = &mut chart.panels[0];
    panel.title = Some(name.to_owned());
    panel.x = Axis::names(name, vec![name.to_owned(), "dog".to_owned()]);
    panel.y = Axis::names("class", vec!["cat".to_owned(), name.to_owned()]);
    chart
}

#[test]
fn a_page_ends_where_it_should_whatever_names_are() {
    let page = html::page(&hostile(), Theme::Light);
    // ECharts, what draws, and a panel's option: no name opens or closes a script.
    let plain = html::page(&cells(), Theme::Light);
    for mark in ["<script", "</script", "<!--", "</html>"] {
        let count = |page: &str| page.matches(mark).count();
        assert_eq!(count(&page), count(&plain), "{mark}");
    }
    let option = &options(&page)[0];
    let Value::Array(names) = &option["yAxis"]["data"] else {
        panic!("{option}");
    };
    // What is drawn has the name as it is.
    let name = &hostile().title;
    assert!(names.iter().any(|known| known == name), "{names:?}");
}
