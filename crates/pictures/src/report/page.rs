//! A report as a page.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use super::{Grid, Part, Report, Section};
use crate::chart::Theme;
use crate::chart::html::{self, escaped};

#[cfg(test)]
mod tests;

/// Longer texts are broken into lines.
const LONG_CELL: usize = 48;

/// What a report's own elements look like, in the theme's colours.
const STYLE: &str = include_str!("page.css");

/// Comes back with what was recorded since.
const RELOAD: &str = include_str!("reload.js");

/// A page that comes back while the run goes on.
#[derive(Debug, Clone, Copy)]
pub struct Reload {
    /// After how long.
    pub every: Duration,
}

impl Report {
    /// The report as a page that needs no network. `run` is what its commands name the run; with `reload`
    /// the page loads itself anew while somebody looks at it, as one that is written again and again has
    /// to.
    pub fn page(&self, run: &Path, theme: Theme, reload: Option<Reload>) -> String {
        let title = escaped(&format!("{}: a training run", self.title));
        let mut html = format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <title>{title}</title>\n{}<style>\n{STYLE}</style>\n</head>\n<body>\n<header>\n<h1>{}</h1>\n",
            html::style(theme),
            escaped(&self.title),
        );
        if let Some(reload) = reload {
            put(
                &mut html,
                format_args!(
                    "<div class=\"live\" data-every-ms=\"{}\"><p role=\"status\">The run goes on: this page comes \
                     back with what was recorded since, every {} s.</p> <button type=\"button\" hidden>Pause\
                     </button></div>\n",
                    reload.every.as_millis(),
                    reload.every.as_secs_f64(),
                ),
            );
        }
        put(
            &mut html,
            format_args!(
                "<p class=\"lead\">{}</p>\n<dl class=\"figures\">\n",
                escaped(&self.lead)
            ),
        );
        for (what, figure) in &self.figures {
            put(
                &mut html,
                format_args!(
                    "<div><dt>{}</dt><dd>{}</dd></div>\n",
                    escaped(what),
                    escaped(figure)
                ),
            );
        }
        html += "</dl>\n<nav aria-label=\"Contents\"><ol>\n";
        for (index, section) in self.sections.iter().enumerate() {
            put(
                &mut html,
                format_args!(
                    "<li><a href=\"#section-{index}\">{}</a></li>\n",
                    section.heading
                ),
            );
        }
        html += "</ol></nav>\n<p class=\"hint\">A slider chooses the epoch of every picture that has one. Values are told \
                 where the pointer rests; the buttons at the top right of a picture<span class=\"by-wheel\">, and Ctrl \
                 and the wheel,</span> zoom.</p>\n\
                 </header>\n<main>\n";
        let run = in_shell(run);
        for (index, section) in self.sections.iter().enumerate() {
            put_section(&mut html, index, section, &run, theme);
        }
        html += "</main>\n<footer><p>Made by Stratigraph from the run's own files; pictures drawn by Apache ECharts, \
                 whose licence is in this page.</p></footer>\n";
        html += &html::script();
        if reload.is_some() {
            put(&mut html, format_args!("<script>\n{RELOAD}</script>\n"));
        }
        html + "</body>\n</html>\n"
    }
}

fn put(html: &mut String, text: std::fmt::Arguments<'_>) {
    html.write_fmt(text).expect("a string takes everything");
}

/// `run` is what a shell is to be told.
fn put_section(html: &mut String, index: usize, section: &Section, run: &str, theme: Theme) {
    put(
        html,
        format_args!(
            "<section id=\"section-{index}\">\n<h2>{}</h2>\n",
            section.heading
        ),
    );
    for (place, part) in section.parts.iter().enumerate() {
        match part {
            Part::Text(text) => put(html, format_args!("<p>{}</p>\n", with_code(text, run))),
            Part::Missing(text) => put(
                html,
                format_args!("<p class=\"missing\">{}</p>\n", with_code(text, run)),
            ),
            Part::Grid(grid) => put_grid(html, &format!("table-{index}-{place}"), grid),
            Part::Film(frames) => *html += &html::film("epoch", frames, theme),
        }
    }
    if !section.commands.is_empty() {
        *html += "<details><summary>To know more</summary>\n<pre>";
        for command in &section.commands {
            put(
                html,
                format_args!("query {}\n", escaped(&of_run(command, run))),
            );
        }
        *html += "</pre></details>\n";
    }
    *html += "</section>\n";
}

/// A table that may be wider than the page, below its caption, which has the given id. It can be scrolled
/// with keys.
fn put_grid(html: &mut String, id: &str, grid: &Grid) {
    put(
        html,
        format_args!(
            "<p class=\"caption\" id=\"{id}\">{caption}</p>\n<div class=\"grid\" tabindex=\"0\" role=\"region\" \
             aria-label=\"{caption}\"><table aria-labelledby=\"{id}\">\n<thead><tr>",
            caption = escaped(&grid.caption)
        ),
    );
    let is_number: Vec<bool> = (0..grid.columns.len())
        .map(|column| grid.rows.iter().all(|row| reads_as_number(&row[column])))
        .collect();
    let class = |column: usize| match is_number[column] {
        true => " class=\"number\"",
        false => "",
    };
    for (column, name) in grid.columns.iter().enumerate() {
        put(
            html,
            format_args!("<th scope=\"col\"{}>{}</th>", class(column), escaped(name)),
        );
    }
    *html += "</tr></thead>\n<tbody>\n";
    for row in &grid.rows {
        *html += "<tr>";
        for (column, cell) in row.iter().enumerate() {
            let class = match cell.len() > LONG_CELL {
                true => " class=\"long\"",
                false => class(column),
            };
            put(html, format_args!("<td{class}>{}</td>", escaped(cell)));
        }
        *html += "</tr>\n";
    }
    *html += "</tbody>\n</table></div>\n";
}

/// Whether a cell is set to the right, as numbers are.
fn reads_as_number(cell: &str) -> bool {
    let is_part = |letter: char| letter.is_ascii_digit() || "–-.,% ".contains(letter);
    !cell.is_empty() && cell.chars().all(is_part)
}

/// Text in which what stands between backticks is code, and `RUN` in it is the run.
fn with_code(text: &str, run: &str) -> String {
    let parts = text
        .split('`')
        .enumerate()
        .map(|(index, part)| match index % 2 {
            0 => escaped(part),
            _ => format!("<code>{}</code>", escaped(&of_run(part, run))),
        });
    parts.collect()
}

/// A command with the run in place of the word `RUN`.
fn of_run(command: &str, run: &str) -> String {
    let words = command.split(' ');
    let words = words.map(|word| if word == "RUN" { run } else { word });
    words.collect::<Vec<_>>().join(" ")
}

/// A path as a word of a POSIX shell.
fn in_shell(path: &Path) -> String {
    let path = path.to_string_lossy();
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "_./-".contains(letter);
    match !path.is_empty() && path.chars().all(is_plain) {
        true => path.into_owned(),
        false => format!("'{}'", path.replace('\'', r"'\''")),
    }
}
