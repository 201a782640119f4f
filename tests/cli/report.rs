//! `query report` on real runs, and what a browser makes of it.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use pictures::chart::{
    Axis, Cells, Chart, ColourScale, Content, Line, Panel, Point, PointGroup, Theme, Ticks, html,
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use stratigraph::{Browser, Scratch, run, spawn, wait_until};

/// More than anybody waits for.
const ENDLESS: &str = "1000000";

const SECTIONS: [&str; 7] = [
    "What was trained",
    "How it learned",
    "What its layers were like",
    "Which neurons became what, and when",
    "What silencing neurons does",
    "Do its neurons tell when it is wrong?",
    "What recording cost",
];

/// Two hidden layers of 24 and 12 units and 6 epochs of the digits, of which structures were found on one half
/// of the held-out samples and some were silenced on the other.
fn digits(draws: &str) -> Scratch {
    let scratch = Scratch::new();
    scratch.train(&["--hidden", "24,12", "--epochs", "6", "--out", "run"]);
    let find = [
        "structures",
        "find",
        "run",
        "--half",
        "first",
        "--permutations",
        "99",
    ];
    run(&mut scratch.query(&find)).expect_success();
    let kept = scratch.rows("run", "SELECT DISTINCT name FROM structures ORDER BY name");
    for structure in kept.iter().take(2) {
        let name = structure["name"].as_str().unwrap();
        let ablate = [
            "ablate",
            "run",
            "--epoch",
            "5",
            "--structure",
            name,
            "--draws",
            draws,
        ];
        run(&mut scratch.recorder(&ablate)).expect_success();
    }
    scratch
}

fn report(scratch: &Scratch, arguments: &[&str]) -> String {
    let done = run(scratch.query(&["report"]).args(arguments));
    let path = arguments.last().unwrap();
    assert_eq!(done.stderr, format!("report written to {path}\n"));
    assert_eq!(done.expect_success(), "");
    fs::read_to_string(scratch.path(path)).unwrap()
}

/// What a page has before its scripts, which are the library's.
fn own(page: &str) -> &str {
    page.split_once("<script>\n").unwrap().0
}

/// What a page has of a section.
fn section<'a>(page: &'a str, heading: &str) -> &'a str {
    let (_, rest) = page.split_once(&format!("<h2>{heading}</h2>")).unwrap();
    rest.split_once("</section>").unwrap().0
}

#[test]
fn a_report_tells_a_run_from_top_to_bottom() {
    let scratch = digits("199");
    let page = report(
        &scratch,
        &["run", "--permutations", "99", "-o", "report.html"],
    );
    let headings: Vec<&str> = own(&page)
        .split("<h2>")
        .skip(1)
        .map(|part| part.split_once("</h2>").unwrap().0)
        .collect();
    assert_eq!(headings, SECTIONS);
    for outside in ["src=", "href=\"http", "@import", "url("] {
        assert!(!own(&page).contains(outside), "{outside}");
    }
    assert_eq!(
        page.matches("Licensed to the Apache Software Foundation")
            .count(),
        1
    );
    assert!(
        !own(&page).contains("class=\"missing\""),
        "everything was recorded"
    );

    // What it says is what SQL says.
    let last = "SELECT accuracy, loss FROM learning_curve WHERE epoch = 5 AND phase = 'eval'";
    let last = &scratch.rows("run", last)[0];
    let accuracy = format!("{:.1} %", 100.0 * last["accuracy"].as_f64().unwrap());
    let told = format!("<dt>accuracy, held out</dt><dd>{accuracy}</dd>");
    assert!(page.contains(&told), "{told}");
    assert!(page.contains("1,500 samples of the data set digits; 297 others were held out"));
    let layers = section(&page, SECTIONS[0]);
    assert!(layers.contains("<td>L_hidden_1</td>") && layers.contains("<td>n_24 … n_35</td>"));
    let onset = "SELECT neuron, layer, first_epoch FROM structure_onset(epoch => 'last') WHERE rank = 1 ORDER BY class";
    let onset = &scratch.rows("run", onset)[0];
    let strongest = format!(
        "n_{} of {} since epoch ",
        onset["neuron"],
        onset["layer"].as_str().unwrap()
    );
    let neurons = section(&page, SECTIONS[3]);
    assert!(neurons.contains(&strongest), "{strongest}");
    let kept = scratch.rows("run", "SELECT name FROM structures GROUP BY name");
    assert_eq!(neurons.matches("<td>class_").count(), kept.len());
    let bytes = scratch.rows("run", "SELECT count(*) AS files FROM commits");
    let files = bytes[0]["files"].as_u64().unwrap();
    let cost = section(&page, SECTIONS[6]);
    assert!(
        cost.contains(&format!("<td>all</td><td class=\"number\">{files}</td>")),
        "{cost}"
    );

    // The test of what silencing does, with the p-values that the named query corrects.
    let silenced = section(&page, SECTIONS[4]);
    let effects = "SELECT name, p_holm FROM ablation_effects ORDER BY name";
    for effect in scratch.rows("run", effects) {
        let p = format!("{:.3}</td>", effect["p_holm"].as_f64().unwrap());
        let row = format!("<td>{}</td>", effect["name"].as_str().unwrap());
        let (_, row) = silenced.split_once(&row).unwrap();
        assert!(row.split_once("</tr>").unwrap().0.contains(&p), "{p} {row}");
    }
    assert!(silenced.contains("of 2 ablations"), "{silenced}");
    assert!(silenced.contains("None of these samples chose the neurons."));

    // A slider an epoch's picture, of all six epochs.
    assert_eq!(page.matches("data-moments=\"[0,1,2,3,4,5]\"").count(), 4);
    let few = report(
        &scratch,
        &["run", "--epochs", "3", "--theme", "dark", "-o", "few.html"],
    );
    assert_eq!(few.matches("data-moments=\"[0,2,5]\"").count(), 4);
}

#[test]
fn too_few_draws_show_nothing_and_the_report_says_so() {
    let scratch = digits("9");
    let page = report(&scratch, &["run", "-o", "report.html"]);
    let silenced = section(&page, SECTIONS[4]);
    let told = "with 2 ablations and 9 draws no corrected p-value can be below 0.200";
    assert!(silenced.contains(told), "{silenced}");
    assert!(
        silenced.contains("<code>recorder ablate --draws 40</code>"),
        "{silenced}"
    );
}

#[test]
fn what_was_not_recorded_is_said_in_its_place() {
    let scratch = Scratch::new();
    let missing = |run_dir: &str| {
        let file = format!("{run_dir}.html");
        let page = report(&scratch, &[run_dir, "-o", &file]);
        let parts = own(&page).split("<p class=\"missing\">").skip(1);
        let parts = parts.map(|part| part.split_once("</p>").unwrap().0.to_owned());
        (parts.collect::<Vec<String>>(), page)
    };
    let bare = ["--hidden", "4", "--epochs", "2", "--out"];
    scratch.train(&[&["--record", "metrics"], &bare[..], &["metrics"]].concat());
    let (parts, page) = missing("metrics");
    for told in [
        "confusion draws classifications, of which this run has none",
        "Neither weights nor activations were recorded",
        "association draws values of activations",
        "network draws connections",
        "Nothing was silenced yet.",
    ] {
        assert!(
            parts.iter().any(|part| part.contains(told)),
            "{told}: {parts:?}"
        );
    }
    assert!(section(&page, SECTIONS[1]).contains("How the network learned"));

    // Numbers are predicted: there are no classes that neurons could go with.
    let houses: String = (0..40)
        .map(|i| format!("{i},{},{}\n", i % 7, 3 * i + i % 7))
        .collect();
    fs::write(scratch.path("houses.csv"), format!("a,b,price\n{houses}")).unwrap();
    let data = [
        "--dataset",
        "csv:houses.csv",
        "--target",
        "price",
        "--task",
        "regression",
    ];
    scratch.train(&[&data[..], &bare, &["houses"]].concat());
    let (parts, page) = missing("houses");
    assert!(
        parts
            .iter()
            .any(|part| part.contains("this run has no classes")),
        "{parts:?}"
    );
    assert!(own(&page).contains("<dt>R², held out</dt>"));

    // A single epoch has no slider; statistics have no values.
    let stats = [
        "--activations",
        "stats",
        "--epochs",
        "1",
        "--hidden",
        "4",
        "--out",
        "stats",
    ];
    scratch.train(&stats);
    let (parts, page) = missing("stats");
    assert!(
        parts
            .iter()
            .any(|part| part.contains("association draws values")),
        "{parts:?}"
    );
    assert!(!own(&page).contains("chart-slider\""));
    scratch.train(&[
        "--dataset",
        "notebook",
        "--epochs",
        "3",
        "--out",
        "notebook",
    ]);
    let (_, page) = missing("notebook");
    assert!(section(&page, SECTIONS[3]).contains("The strongest connections"));
}

#[test]
fn mistakes_are_told_and_leave_no_file() {
    let scratch = Scratch::new();
    scratch.train(&["--hidden", "4", "--epochs", "1", "--out", "run"]);
    let failed = |arguments: &[&str], code: i32| {
        run(scratch.query(&["report"]).args(arguments)).expect_failure(code)
    };
    assert!(failed(&["run", "-o", "report.pdf"], 2).contains("a report is an .html"));
    assert!(failed(&["run", "--every", "3", "-o", "x.html"], 2).contains("--live"));
    assert!(failed(&["run", "--epochs", "1", "-o", "x.html"], 2).contains("2..=200"));
    assert!(failed(&["runn", "-o", "x.html"], 1).contains("there is no run at runn"));
    assert!(failed(&["run", "-o", "no/x.html"], 1).contains("no/x.html"));
    fs::write(scratch.path("mine.html"), "mine").unwrap();
    for live in [&[][..], &["--live"]] {
        let told = failed(&[&["run", "-o", "mine.html"], live].concat(), 1);
        assert!(
            told.contains("mine.html exists; --force replaces it"),
            "{told}"
        );
    }
    assert_eq!(fs::read(scratch.path("mine.html")).unwrap(), b"mine");
    report(&scratch, &["run", "--force", "-o", "mine.html"]);
    let left = fs::read_dir(scratch.path("")).unwrap();
    let left = left.filter(|entry| entry.as_ref().unwrap().file_name() != "run");
    assert_eq!(left.count(), 1, "nothing unfinished is left");
}

/// The page of a run that goes on, and the last epoch that it tells of.
fn last_epoch(page: &Path) -> Option<u64> {
    let page = fs::read_to_string(page).ok()?;
    let (_, told) = page.split_once("<dt>epochs recorded</dt><dd>")?;
    told.split_once('<')?.0.replace(',', "").parse().ok()
}

#[test]
fn a_live_report_follows_the_run_and_ends_with_it() {
    let scratch = Scratch::new();
    // About a capture a second.
    let train = [
        "train",
        "--device",
        "cpu",
        "--hidden",
        "8",
        "--every",
        "100epochs",
    ];
    let more = ["--epochs", ENDLESS, "--out", "run"];
    let mut recorder = spawn(&mut scratch.recorder(&[&train[..], &more].concat()));
    scratch.wait_for_commit("run", &mut recorder);
    let live = [
        "report",
        "run",
        "--live",
        "--every",
        "1",
        "--epochs",
        "3",
        "--permutations",
        "99",
    ];
    let follow = |file: &str| spawn(&mut scratch.query(&[&live[..], &["-o", file]].concat()));
    let mut followed = follow("live.html");
    let page = scratch.path("live.html");
    let first = wait_until("a report", || {
        assert!(followed.is_running(), "the report ended by itself");
        last_epoch(&page)
    });
    let is_live = |page: &str| own(page).contains("class=\"live\" data-every-ms=\"1000\"");
    assert!(is_live(&fs::read_to_string(&page).unwrap()));
    wait_until("a later one", || {
        last_epoch(&page).filter(|&last| last > first)
    });

    // Stopped, it leaves a page that waits for nobody.
    let other = scratch.path("stopped.html");
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let stopped = follow("stopped.html");
        wait_until("the other report", || last_epoch(&other));
        let id = Pid::from_raw(stopped.id().cast_signed()).unwrap();
        kill_process(id, signal).unwrap();
        let done = stopped.wait();
        assert_eq!(done.code(), Some(code), "{done}");
        assert!(!is_live(&fs::read_to_string(&other).unwrap()));
        fs::remove_file(&other).unwrap();
    }
    // The one that waits has nothing staged meanwhile either.
    let names = || fs::read_dir(scratch.path("")).unwrap();
    let staged = |name: &OsStr| name.to_string_lossy().starts_with(".query-");
    wait_until("no staged file", || {
        let mut names = names().map(|entry| entry.unwrap().file_name());
        (!names.any(|name| staged(&name))).then_some(())
    });

    if let Some(mut browser) = Browser::start(&scratch, "a page that follows a run") {
        browser.show(&page, [1000, 800]);
        let shown = "document.querySelector('.figures').innerText";
        let before = browser.value_of(shown);
        // The page comes back by itself, with the epoch that was looked at, and with what was open.
        browser.value_of("document.querySelector('details').open = true");
        browser.value_of("document.querySelector('.chart-slider input').focus()");
        browser.press("ArrowLeft");
        let looked = "document.querySelector('.chart-slider output').value";
        let chosen: u64 = browser.value_of(looked).as_str().unwrap().parse().unwrap();
        assert!(chosen > 0, "the middle one of three");
        wait_until("the page to come back", || {
            browser.wait_for_load();
            (browser.value_of(shown) != before).then_some(())
        });
        // Of the epochs that the slider has by now, it is the last one up to it.
        let moments =
            browser.value_of("document.querySelector('.chart-slider input').dataset.moments");
        let moments: Vec<u64> = serde_json::from_str(moments.as_str().unwrap()).unwrap();
        let expected = moments.into_iter().rfind(|&at| at <= chosen).unwrap();
        assert_eq!(browser.value_of(looked), expected.to_string());
        let open = "[...document.querySelectorAll('details')].map((d) => d.open)";
        let open = browser.value_of(open);
        assert_eq!(open[0], true);
        assert_eq!(open[1], false);

        // Paused, it stays, and says so; it goes on when it is told to.
        let button = "document.querySelector('.live button')";
        browser.value_of(&format!("{button}.click()"));
        assert_eq!(browser.value_of(&format!("{button}.innerText")), "Go on");
        let said = browser.value_of("document.querySelector('.live [role=status]').innerText");
        assert!(said.as_str().unwrap().starts_with("Paused"), "{said}");
        browser.value_of("globalThis.isStill = true");
        let known = last_epoch(&page);
        wait_until("two more reports", || {
            last_epoch(&page).filter(|&last| Some(last) > known.map(|epoch| epoch + 2))
        });
        assert_eq!(browser.value_of("isStill"), true);
        browser.value_of(&format!("{button}.click()"));
        browser.wait_for("globalThis.isStill === undefined");
        assert_eq!(browser.complaints(), [""; 0]);
    }

    recorder.interrupt();
    assert_eq!(recorder.wait().code(), Some(130));
    let done = followed.wait();
    assert!(
        done.stderr
            .trim_end()
            .ends_with("nobody records the run any more"),
        "{done}"
    );
    done.expect_success();
    assert!(!is_live(&fs::read_to_string(&page).unwrap()));
    let all = scratch.rows("run", "SELECT count(DISTINCT epoch) AS n FROM weights");
    assert_eq!(
        last_epoch(&page),
        all[0]["n"].as_u64(),
        "the last report has all of it"
    );
}

#[test]
fn a_live_report_reads_once_more_before_it_gives_up() {
    let scratch = Scratch::new();
    let train = ["train", "--device", "cpu", "--hidden", "8", "--out", "run"];
    let more = ["--every", "100epochs", "--epochs", ENDLESS];
    let mut recorder = spawn(&mut scratch.recorder(&[&train[..], &more].concat()));
    scratch.wait_for_commit("run", &mut recorder);
    let follow = ["report", "run", "--live", "--every", "3", "-o", "live.html"];
    let few = ["--epochs", "2", "--permutations", "99"];
    let followed = spawn(&mut scratch.query(&[&follow[..], &few].concat()));
    let page = scratch.path("live.html");
    wait_until("a report", || last_epoch(&page));

    // A file that is gone, and is back by the next turn, as where others stand for it.
    let first = "SELECT path FROM commits WHERE \"table\" = 'weights' AND epoch = 0";
    let first = &scratch.rows("run", first)[0]["path"];
    let file = scratch.path("run").join(first.as_str().unwrap());
    let aside = scratch.path("aside");
    fs::rename(&file, &aside).unwrap();
    followed.wait_for_stderr("the run is read again");
    fs::rename(&aside, &file).unwrap();
    let known = last_epoch(&page);
    wait_until("a later report", || {
        last_epoch(&page).filter(|&last| Some(last) > known)
    });

    // Gone for good: it says so, and its page waits for nobody.
    fs::remove_file(&file).unwrap();
    let told = followed.wait().expect_failure(1);
    assert!(told.contains(first.as_str().unwrap()), "{told}");
    let left = fs::read_to_string(&page).unwrap();
    assert!(!own(&left).contains("class=\"live\""));
    assert!(last_epoch(&page) > known);
    recorder.interrupt();
    recorder.wait();
}

/// Which panels do not show what the page holds of them: in each series as many values as it has at the moment
/// that the slider says, some of them in all, and of a series that has some, a mark among what is painted.
const ARE_DRAWN: &str = "[...document.querySelectorAll('.chart-panel')].map((panel) => {
  const held = JSON.parse(panel.querySelector('script').textContent);
  const slider = panel.closest('.chart').querySelector('.chart-slider input');
  const option = Array.isArray(held) ? held[slider?.value ?? held.length - 1] : held;
  const expected = option.series.map(({ data, nodes }) => (data ?? nodes).length);
  const chart = echarts.getInstanceByDom(panel);
  const painted = new Set(chart.getZr().storage.getDisplayList(true));
  const isMark = (element) => {
    const box = element.isGroup ? null : element.getBoundingRect();
    return box && (box.width > 0 || box.height > 0) && !element.invisible && painted.has(element);
  };
  const series = chart.getModel().getSeries().map((series) => {
    let marks = 0;
    chart.getViewOfSeriesModel(series).group.traverse((element) => void (marks += isMark(element) ? 1 : 0));
    return { count: series.getData().count(), marks };
  });
  const image = panel.querySelector('svg, canvas').getBoundingClientRect();
  const isDrawn = image.width > 100 && image.height > 100 && Math.max(...expected) > 0
    && series.map(({ count }) => count).join() === expected.join()
    && series.every(({ count, marks }) => marks > 0 || count === 0);
  return isDrawn ? '' : `${panel.getAttribute('aria-label')}: ${JSON.stringify({ expected, series })}`;
}).filter((told) => told)";

/// Takes the values out of every series.
const EMPTY: &str = "for (const panel of document.querySelectorAll('.chart-panel')) {
  const chart = echarts.getInstanceByDom(panel);
  chart.setOption({ series: chart.getOption().series.map(() => ({ data: [], links: [] })) });
}";

#[test]
fn a_browser_draws_every_figure_and_moves_the_slider() {
    let scratch = digits("19");
    let page = report(&scratch, &["run", "-o", "report.html"]);
    let num_panels = own(&page).matches("class=\"chart-panel\"").count();
    let Some(mut browser) = Browser::start(&scratch, "the report's figures") else {
        return;
    };
    let file = scratch.path("report.html");
    browser.show(&file, [1200, 900]);
    let found = browser.value_of("document.querySelectorAll('.chart-panel').length");
    assert_eq!(found, num_panels);
    assert!(num_panels > 12, "{num_panels}");
    assert_eq!(browser.value_of(ARE_DRAWN), Value::Array(Vec::new()));

    // A key moves the slider in hand, and all others with it.
    let of_confusion = "[...document.querySelectorAll('.chart')].find((f) => f.innerText.includes('taken for which'))";
    let shown = format!("{of_confusion}.querySelector('.chart-panel svg').textContent");
    let title = format!("{of_confusion}.querySelector('h3').textContent");
    let before = browser.value_of(&shown);
    assert_eq!(
        browser.value_of(&title),
        "Which class was taken for which, epoch 5"
    );
    browser.value_of(&format!(
        "{of_confusion}.querySelector('.chart-slider input').focus()"
    ));
    browser.press("Home");
    assert_eq!(
        browser.value_of(&title),
        "Which class was taken for which, epoch 0"
    );
    let after = browser.value_of(&shown);
    assert_ne!(after, before);
    // Its cells are what SQL counts.
    let counts = "SELECT count FROM confusion WHERE epoch = 0 AND count > 0 AND target = 0";
    for row in scratch.rows("run", counts) {
        let count = row["count"].to_string();
        assert!(after.as_str().unwrap().contains(&count), "{count}: {after}");
    }
    let others = "[...new Set([...document.querySelectorAll('.chart-slider output')].map((o) => o.value))].join()";
    assert_eq!(browser.value_of(others), "0");
    assert_eq!(browser.value_of(ARE_DRAWN), Value::Array(Vec::new()));
    browser.press("ArrowRight");
    assert_eq!(browser.value_of(others), "1");
    browser.press("End");
    assert_eq!(browser.value_of(&shown), before);

    // Values are told where the pointer rests.
    let curves = "document.querySelector('.chart-panel')";
    browser.value_of(&format!("{curves}.scrollIntoView({{block: 'center'}})"));
    let place = browser.value_of(&format!(
        "(() => {{ const box = {curves}.getBoundingClientRect();
           const [x, y] = echarts.getInstanceByDom({curves}).convertToPixel({{xAxisIndex: 0, yAxisIndex: 0}}, [3, 1]);
           return [box.x + x, box.y + y]; }})()"
    ));
    let (x, y) = (place[0].as_f64().unwrap(), place[1].as_f64().unwrap());
    browser.point_at(x, y);
    let tooltip = format!("[...{curves}.querySelectorAll('div')].map((d) => d.innerText).join()");
    browser.wait_for(&format!("{tooltip}.includes('held out')"));

    // The wheel scrolls the page, with Ctrl it zooms.
    let points = "[...document.querySelectorAll('.chart')].find((f) => f.innerText.includes('easy, hard'))\
                  .querySelector('.chart-panel')";
    browser.value_of(&format!("{points}.scrollIntoView({{block: 'center'}})"));
    let zoom = format!("echarts.getInstanceByDom({points}).getOption().dataZoom[0].start");
    let middle = browser.value_of(&format!(
        "(() => {{ const box = {points}.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]; }})()"
    ));
    let (x, y) = (middle[0].as_f64().unwrap(), middle[1].as_f64().unwrap());
    browser.point_at(x, y);
    let scrolled = browser.value_of("scrollY").as_f64().unwrap();
    browser.turn_wheel(x, y, false);
    browser.wait_for(&format!("scrollY < {scrolled}"));
    assert_eq!(browser.value_of(&zoom), 0);
    browser.value_of(&format!("{points}.scrollIntoView({{block: 'center'}})"));
    browser.turn_wheel(x, y, true);
    browser.wait_for(&format!("{zoom} > 0"));

    // On a phone nothing is wider than the window, and everything is drawn.
    browser.show(&file, [390, 844]);
    assert_eq!(
        browser.value_of("document.documentElement.scrollWidth"),
        390
    );
    assert_eq!(browser.value_of(ARE_DRAWN), Value::Array(Vec::new()));
    let widest = "Math.max(...[...document.querySelectorAll('.chart-panel svg, .chart-panel canvas')].map((e) => \
                  e.getBoundingClientRect().right))";
    assert!(browser.value_of(widest).as_f64().unwrap() <= 390.0);
    assert_eq!(browser.complaints(), [""; 0]);

    // What has nothing but axes is not drawn.
    browser.value_of(EMPTY);
    let told = browser.value_of(ARE_DRAWN);
    assert_eq!(told.as_array().unwrap().len(), num_panels, "{told}");
}

/// Panels whose names a page, or ECharts, would take for something else.
fn strange_names() -> Vec<Panel> {
    let names = ["{b} & {a}", "<i>{value}"].map(str::to_owned).to_vec();
    let panel = |x: Axis, y: Axis, content: Content| Panel {
        title: None,
        x,
        y,
        content,
    };
    let cells = Cells {
        values: vec![vec![Some(0.75), Some(0.25)]; 2],
        texts: Some(vec![vec!["{c}".to_owned(), String::new()]; 2]),
        scale: ColourScale::Amount,
        beyond: None,
        legend: "share".to_owned(),
        ticks: Ticks::Shares,
    };
    let point = |x: f64, label: Option<&str>| Point {
        x,
        y: x,
        name: "{a} & <b>$&".to_owned(),
        label: label.map(str::to_owned),
        interval: None,
    };
    let group = PointGroup {
        name: "{b}".to_owned(),
        points: vec![point(0.0, None), point(1.0, Some("{d}")), point(2.0, None)],
    };
    let line = Line {
        name: "{c} & <i>".to_owned(),
        points: vec![[0.0, 1.0], [1.0, 2.0], [2.0, 4.0]],
    };
    vec![
        panel(
            Axis::names("taken for", names.clone()),
            Axis::names("class", names),
            Content::Cells(cells),
        ),
        panel(
            Axis::numbers("across"),
            Axis::numbers("up"),
            Content::Points(vec![group]),
        ),
        panel(
            Axis::numbers("epoch"),
            Axis::numbers("loss"),
            Content::Lines(vec![line]),
        ),
    ]
}

#[test]
fn a_browser_draws_names_as_they_are() {
    let scratch = Scratch::new();
    let Some(mut browser) = Browser::start(&scratch, "names in tooltips and labels") else {
        return;
    };
    let chart = Chart {
        title: "Names".to_owned(),
        subtitle: String::new(),
        panels: strange_names(),
        notes: Vec::new(),
    };
    let file = scratch.path("names.html");
    fs::write(&file, html::page(&chart, Theme::Light)).unwrap();
    browser.show(&file, [1200, 900]);
    assert_eq!(browser.value_of(ARE_DRAWN), Value::Array(Vec::new()));
    for (panel, at, below, written, told) in [
        (
            0,
            "[0, 1]",
            15.0,
            ["{c}", "{b} & {a}", "<i>{value}"],
            "class <i>{value}, taken for {b} & {a}: 75 % ({c})",
        ),
        (1, "[2, 2]", 0.0, ["{d}", "{b}", "up"], "{b}: {a} & <b>$&"),
        (
            2,
            "[1, 2]",
            0.0,
            ["{c} & <i>", "epoch", "loss"],
            "{c} & <i>2",
        ),
    ] {
        let panel = format!("document.querySelectorAll('.chart-panel')[{panel}]");
        let drawn = browser.value_of(&format!("{panel}.querySelector('svg').textContent"));
        for text in written {
            assert!(drawn.as_str().unwrap().contains(text), "{text}: {drawn}");
        }
        let place = browser.value_of(&format!(
            "(() => {{ {panel}.scrollIntoView({{ block: 'center' }}); const box = {panel}.getBoundingClientRect();
               const axes = {{ xAxisIndex: 0, yAxisIndex: 0 }};
               const [x, y] = echarts.getInstanceByDom({panel}).convertToPixel(axes, {at});
               return [box.x + x, box.y + y]; }})()"
        ));
        let [x, y] = [0, 1].map(|side: usize| place[side].as_f64().unwrap());
        browser.point_at(x, y + below);
        browser.wait_for(&format!(
            "[...{panel}.querySelectorAll('div')].some((div) => div.textContent.includes({}))",
            Value::from(told)
        ));
    }
    assert_eq!(browser.complaints(), [""; 0]);
}

#[test]
#[ignore = "makes the report's pictures in docs/ anew: scripts/pictures.sh"]
fn pictures_for_the_documentation() {
    let dir = std::env::var_os("STRATIGRAPH_PICTURES").expect("it says where they go");
    let keep =
        |picture: Vec<u8>, name: &str| fs::write(Path::new(&dir).join(name), picture).unwrap();
    let scratch = Scratch::new();
    scratch.train(&["--out", "digits"]);
    let find = ["structures", "find", "digits", "--half", "first"];
    run(&mut scratch.query(&find)).expect_success();
    for class in 0..10 {
        let name = format!("class_{class}");
        let ablate = ["ablate", "digits", "--epoch", "last", "--structure", &name];
        let draws = ["--draws", "999"];
        run(&mut scratch.recorder(&[&ablate[..], &draws].concat())).expect_success();
    }
    report(&scratch, &["digits", "-o", "report.html"]);
    let file = scratch.path("report.html");
    let mut browser = Browser::start(&scratch, "pictures of the report").unwrap();
    browser.show(&file, [1000, 900]);
    keep(browser.picture(), "report.png");
    for (section, name) in [(3, "report-neurons.png"), (4, "report-silenced.png")] {
        browser.value_of(&format!(
            "document.querySelector('#section-{section}').scrollIntoView()"
        ));
        keep(browser.picture(), name);
    }
    browser.show(&file, [390, 844]);
    browser.value_of("document.querySelector('#section-3 .chart').scrollIntoView()");
    keep(browser.picture(), "report-phone.png");
}

#[test]
fn what_is_too_much_or_too_little_for_one_part_leaves_the_others() {
    let scratch = Scratch::new();
    let page = |run_dir: &str| {
        report(
            &scratch,
            &[
                run_dir,
                "--epochs",
                "2",
                // Of a thousand neurons and more the default takes long.
                "--permutations",
                "99",
                "-o",
                &format!("{run_dir}.html"),
            ],
        )
    };
    // Too few neurons for a picture of them.
    scratch.train(&["--hidden", "3", "--epochs", "2", "--out", "tiny"]);
    let tiny = page("tiny");
    assert!(section(&tiny, SECTIONS[3]).contains("t-SNE needs 4 neurons at least"));
    assert!(section(&tiny, SECTIONS[6]).contains("training thread"));

    // Too many for a model of them, but for one layer's.
    scratch.train(&["--hidden", "1030,6", "--epochs", "2", "--out", "wide"]);
    let wide = page("wide");
    let mistakes = section(&wide, SECTIONS[5]);
    assert!(
        mistakes.contains("It looks at L_hidden_1 alone"),
        "{mistakes}"
    );
    assert!(section(&wide, SECTIONS[3]).contains("it is the last epoch alone"));

    // Neurons that have a name, and no activations; a name that is no HTML.
    scratch.train(&[
        "--hidden", "8,6", "--epochs", "2", "--layers", "L_input", "--out", "part",
    ]);
    let name = "<b>&\"mine\"";
    let label = [
        "structures",
        "label",
        "part",
        name,
        "--neurons",
        "9,10",
        "--class",
        "3",
    ];
    run(&mut scratch.query(&label)).expect_success();
    let part = page("part");
    let neurons = section(&part, SECTIONS[3]);
    let row =
        "<td>&lt;b&gt;&amp;&quot;mine&quot;</td><td class=\"number\">3</td><td>n_9, n_10</td>";
    assert!(neurons.contains(row), "{neurons}");
    assert!(neurons.contains("<td>by hand</td>"), "{neurons}");
}
