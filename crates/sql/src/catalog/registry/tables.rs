//! The tables of a run, as the pages of the format describe them.

use trace::Table;

use super::{Definition, DefinitionKind};
use crate::named::Column;

macro_rules! page {
    ($name:literal) => {
        include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../schemas/",
            $name,
            ".md"
        ))
    };
}

/// The page of the tables that are in no files: a section each.
const QUERY_TABLES: &str = page!("query-tables");

/// The page of a table of part files, and a query over it.
fn page_and_example(table: Table) -> (&'static str, &'static str) {
    match table {
        Table::Weights => (
            page!("weights"),
            "SELECT layer, neuron, weight_l2 FROM weights WHERE epoch = last_epoch() \
             ORDER BY weight_l2 DESC LIMIT 5",
        ),
        Table::Activations => (
            page!("activations"),
            "SELECT layer, neuron, activation_mean, zeros FROM activations \
             WHERE epoch = last_epoch() AND phase = 'eval' ORDER BY zeros DESC LIMIT 5",
        ),
        Table::Classifications => (
            page!("classifications"),
            "SELECT epoch, count(*) FILTER (WHERE correct) AS right, count(*) AS samples \
             FROM epochs.classifications GROUP BY epoch ORDER BY epoch",
        ),
        Table::Metrics => (
            page!("metrics"),
            "SELECT epoch, value AS loss FROM metrics WHERE phase = 'eval' AND name = 'loss' \
             ORDER BY epoch",
        ),
        Table::Histograms => (
            page!("histograms"),
            "SELECT layer, edges, counts FROM histograms WHERE epoch = last_epoch() \
             AND of = 'weights'",
        ),
        Table::Gradients => (
            page!("gradients"),
            "SELECT epoch, layer, max(weight_l2) AS largest FROM gradients \
             GROUP BY epoch, layer ORDER BY epoch, layer",
        ),
        Table::GradientsApplied => (
            page!("gradients_applied"),
            "SELECT g.epoch, g.layer, max(g.weight_l2) AS made, max(a.weight_l2) AS used \
             FROM gradients AS g JOIN gradients_applied AS a USING (step, neuron) \
             GROUP BY g.epoch, g.layer ORDER BY g.epoch, g.layer",
        ),
        Table::Moments => (
            page!("moments"),
            "SELECT epoch, layer, avg(weight_l2) AS length FROM moments WHERE name = 'moment_1' \
             GROUP BY epoch, layer ORDER BY epoch, layer",
        ),
        Table::Resume => (page!("resume"), ""),
        Table::Structures => (
            page!("structures"),
            "SELECT name, layer, neuron, score FROM structures ORDER BY name, score DESC",
        ),
        Table::Ablations => (
            page!("ablations"),
            "SELECT name, neurons, before, after, p_value FROM ablations \
             WHERE metric = 'accuracy' AND samples = 'all'",
        ),
    }
}

/// The tables that are made of `run.json` and of the commits, and a query over each.
const FACTS: [(&str, &str); 3] = [
    (
        "layers",
        "SELECT layer, kind, shape, num_units FROM layers ORDER BY layer_index",
    ),
    (
        "neurons",
        "SELECT layer, min(neuron) AS first, max(neuron) AS last FROM neurons GROUP BY layer",
    ),
    (
        "commits",
        "SELECT \"table\", count(*) AS files, sum(bytes) AS bytes FROM commits GROUP BY \"table\"",
    ),
];

/// Every table, in the order in which documents list them.
pub(super) fn entries() -> Vec<Definition> {
    let recorded = Table::shown().map(|table| {
        let (page, example) = page_and_example(table);
        let mut columns = columns(section(page, "Partitions"));
        columns.extend(self::columns(section(page, "Columns")));
        entry(table.name(), paragraph(page), columns, example)
    });
    let facts = FACTS.map(|(name, example)| {
        let page = section(QUERY_TABLES, name);
        entry(name, paragraph(page), columns(page), example)
    });
    recorded.chain(facts).collect()
}

fn entry(name: &str, purpose: String, columns: Vec<Column>, example: &str) -> Definition {
    Definition {
        name: name.to_owned(),
        aliases: Vec::new(),
        kind: DefinitionKind::Table,
        is_builtin: false,
        signature: name.to_owned(),
        purpose,
        parameters: Vec::new(),
        columns,
        example: Some(example.to_owned()),
        sql: None,
    }
}

/// What stands under a heading of the second level.
fn section<'a>(page: &'a str, heading: &str) -> &'a str {
    let sections = page.split("\n## ");
    let of_heading = |section: &'a str| {
        let (first, rest) = section.split_once('\n')?;
        (first.trim() == heading).then_some(rest)
    };
    let mut found = sections.filter_map(of_heading);
    found.next().unwrap_or_default()
}

/// The first paragraph after any heading, in one line.
fn paragraph(text: &str) -> String {
    let lines = text.lines().map(str::trim);
    let lines = lines.skip_while(|line| line.is_empty() || line.starts_with('#'));
    let lines: Vec<&str> = lines.take_while(|line| !line.is_empty()).collect();
    plain(&lines.join(" "))
}

/// The columns of a section's table: name, type, whether they may be null, meaning.
fn columns(section: &str) -> Vec<Column> {
    let cells = |line: &str| {
        let row = line.strip_prefix('|')?.strip_suffix('|')?;
        let cells: Vec<String> = row.split('|').map(|cell| plain(cell.trim())).collect();
        <[String; 4]>::try_from(cells).ok()
    };
    // The first two lines are the names of the table's own columns, and a rule.
    let rows = section.lines().filter_map(cells).skip(2);
    let column = |[name, data_type, _, meaning]: [String; 4]| Column {
        name: name.trim_matches('`').to_owned(),
        data_type: short(&data_type),
        meaning,
    };
    rows.map(column).collect()
}

/// A type as `query` spells it: `List(Float32)` for `List<item: Float32 not null>`.
fn short(data_type: &str) -> String {
    match data_type.strip_prefix("List<item: ") {
        Some(rest) => {
            let item = rest.trim_end_matches('>').trim_end_matches(" not null");
            format!("List({})", short(item))
        }
        None => data_type.split('(').next().unwrap_or_default().to_owned(),
    }
}

/// The text with the pages that it links to by their paths.
fn plain(text: &str) -> String {
    with_links(text, |_, page| format!("schemas/{page}"))
}

/// The text with links in Markdown as `shown` makes them of what is shown and of the target.
pub(super) fn with_links(text: &str, shown: impl Fn(&str, &str) -> String) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, link)) = rest.split_once('[') {
        let parsed = link.split_once("](").and_then(|(text, after)| {
            let (target, after) = after.split_once(')')?;
            (!text.contains(['[', ']'])).then(|| (shown(text, target), after))
        });
        plain.push_str(before);
        match parsed {
            Some((link, after)) => {
                plain.push_str(&link);
                rest = after;
            }
            None => {
                plain.push('[');
                rest = link;
            }
        }
    }
    plain + rest
}
