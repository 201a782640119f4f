//! Charts in a browser, by ECharts: a page that needs no network, or figures for somebody else's page.
//!
//! A page has [`style`] in its head, as many [`figure`]s and [`film`]s as it likes, and [`script`] once,
//! behind them.

mod option;

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{Cells, Chart, Content, Panel, Theme};
use option::{height, options};

/// Apache ECharts, with its licence in its first lines; `vendor/echarts` has the notices.
const ECHARTS: &str = include_str!("../../vendor/echarts/echarts.min.js");

/// What figures look like, in the theme's colours.
const STYLE: &str = include_str!("figure.css");

/// Draws what figures hold, and draws it anew when they change size.
const DRAW: &str = include_str!("draw.js");

/// What is to be said of points with labels.
const HIDDEN_LABELS: &str =
    "Labels that would overlap are hidden: zoom in, or rest the pointer on a point.";

/// A page with one chart, complete in itself.
pub fn page(chart: &Chart, theme: Theme) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{}</title>\n{}</head>\n<body>\n{}{}</body>\n</html>\n",
        escaped(&chart.title),
        style(theme),
        figure(chart, theme),
        script(),
    )
}

/// The style sheet of figures, as an element, with the theme's colours as `--ground`, `--text`, `--muted`,
/// `--grid`, `--missing` and `--accent`.
pub fn style(theme: Theme) -> String {
    format!(
        "<style>\n\
         :root {{ --ground: {}; --text: {}; --muted: {}; --grid: {}; --missing: {}; --accent: {}; }}\n\
         {STYLE}</style>\n",
        theme.ground(),
        theme.text(),
        theme.muted(),
        theme.grid(),
        theme.missing(),
        theme.series(0),
    )
}

/// ECharts and what draws the figures before it, as elements.
pub fn script() -> String {
    format!("<script>\n{ECHARTS}\n</script>\n<script>\n{DRAW}</script>\n")
}

/// A chart at one of several moments.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    /// The moment, as an epoch; they ascend.
    pub at: i64,
    /// What is shown then; the charts of a film have as many panels as each other.
    pub chart: Chart,
}

/// A chart, as an element that [`script`] draws.
pub fn figure(chart: &Chart, theme: Theme) -> String {
    element("h2", &[chart], "", theme)
}

/// Charts of the same at several moments, as an element in which a slider chooses one; at first it is the
/// last. The sliders of a page move together: each shows what there is of the moment that another one was
/// moved to, or of the last before it. Colours mean the same in all frames, and axes of numbers reach
/// equally far, so that what moves has changed. Of no frames it is nothing.
pub fn film(of: &str, frames: &[Frame], theme: Theme) -> String {
    let mut charts: Vec<Chart> = frames.iter().map(|frame| frame.chart.clone()).collect();
    let num_panels = charts.first().map_or(0, |chart| chart.panels.len());
    for panel in 0..num_panels {
        let grids = charts
            .iter_mut()
            .filter_map(|chart| match &mut chart.panels[panel].content {
                Content::Cells(cells) => Some(cells),
                _ => None,
            });
        let mut grids: Vec<&mut Cells> = grids.collect();
        let ranges = grids.iter().filter_map(|cells| cells.range());
        let all = ranges.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
        grids.iter_mut().for_each(|cells| cells.beyond = all);
    }
    let slider = match frames {
        [_, .., last] => {
            let moments: Vec<i64> = frames.iter().map(|frame| frame.at).collect();
            // Without the moment, which changes.
            let title = &last.chart.title;
            let title = title.strip_suffix(&format!(", {of} {}", last.at));
            format!(
                "<label class=\"chart-slider\">{of} <output>{at}</output> <input type=\"range\" autocomplete=\"off\" \
                 min=\"0\" max=\"{end}\" value=\"{end}\" aria-label=\"{of}: {title}\" aria-valuetext=\"{of} {at}\" \
                 data-of=\"{of}\" data-moments=\"{moments}\"></label>\n",
                of = escaped(of),
                title = escaped(title.unwrap_or(&last.chart.title)),
                at = last.at,
                end = frames.len() - 1,
                moments = escaped(&json!(moments).to_string()),
            )
        }
        _ => String::new(),
    };
    let charts: Vec<&Chart> = charts.iter().collect();
    element("h3", &charts, &slider, theme)
}

/// The last of several charts, as an element that holds the others too.
fn element(heading: &str, charts: &[&Chart], slider: &str, theme: Theme) -> String {
    let Some(last) = charts.last() else {
        return String::new();
    };
    let texts = |of: &dyn Fn(&Chart) -> String| {
        let texts: Vec<String> = charts.iter().map(|chart| of(chart)).collect();
        let shown = escaped(texts.last().map_or("", String::as_str));
        match texts.iter().all(|text| Some(text) == texts.last()) {
            true => format!(">{shown}"),
            false => {
                let all = escaped(&json!(texts).to_string());
                format!(" data-texts=\"{all}\">{shown}")
            }
        }
    };
    let mut html = format!(
        "<figure class=\"chart\">\n<{heading}{}</{heading}>\n<p{}</p>\n{slider}",
        texts(&|chart| chart.title.clone()),
        texts(&|chart| chart.subtitle.clone()),
    );
    for (index, panel) in last.panels.iter().enumerate() {
        let name = panel.title.as_ref().unwrap_or(&last.title);
        let panels: Vec<&Panel> = charts.iter().map(|chart| &chart.panels[index]).collect();
        let height = panels.iter().map(|panel| height(panel)).max().unwrap_or(0);
        writeln!(
            html,
            "<div class=\"chart-panel\" role=\"img\" aria-label=\"{}\" style=\"height: {height}px\">\
             <script type=\"application/json\">{}</script></div>",
            escaped(name),
            in_script(&options(&panels, theme)),
        )
        .expect("a string takes everything");
    }
    let num_notes = charts.iter().map(|chart| chart.notes.len()).max();
    for index in 0..num_notes.unwrap_or(0) {
        let note = texts(&|chart| chart.notes.get(index).cloned().unwrap_or_default());
        writeln!(html, "<p{note}</p>").expect("a string takes everything");
    }
    if last.panels.iter().any(has_labels) {
        writeln!(html, "<p>{HIDDEN_LABELS}</p>").expect("a string takes everything");
    }
    html + "</figure>\n"
}

/// Whether it has points among numbers with labels, of which some may have no room.
fn has_labels(panel: &Panel) -> bool {
    let Content::Points(groups) = &panel.content else {
        return false;
    };
    let mut points = groups.iter().flat_map(|group| &group.points);
    panel.y.name_list().is_empty() && points.any(|point| point.label.is_some())
}

/// JSON that ends no element.
fn in_script(value: &Value) -> String {
    value.to_string().replace('<', "\\u003c")
}

/// Text, as a page holds it.
pub(crate) fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    text.replace('>', "&gt;").replace('"', "&quot;")
}
