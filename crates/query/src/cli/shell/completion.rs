//! What a word that was begun may become.

use std::collections::BTreeSet;

use sql::{Definition, DefinitionKind, QuerySession};

use super::commands::COMMANDS;
use super::formats::text_formats;

/// The words of SQL that are completed and shown as such.
pub(super) const KEYWORDS: [&str; 68] = [
    "ALL",
    "AND",
    "ANY",
    "AS",
    "ASC",
    "BETWEEN",
    "BY",
    "CASE",
    "CAST",
    "CROSS",
    "CURRENT",
    "DESC",
    "DESCRIBE",
    "DISTINCT",
    "ELSE",
    "END",
    "EXCEPT",
    "EXISTS",
    "EXPLAIN",
    "FALSE",
    "FILTER",
    "FIRST",
    "FOLLOWING",
    "FROM",
    "FULL",
    "FUNCTIONS",
    "GROUP",
    "HAVING",
    "ILIKE",
    "IN",
    "INNER",
    "INTERSECT",
    "INTERVAL",
    "IS",
    "JOIN",
    "LAST",
    "LEFT",
    "LIKE",
    "LIMIT",
    "NATURAL",
    "NOT",
    "NULL",
    "NULLS",
    "OFFSET",
    "ON",
    "OR",
    "ORDER",
    "OUTER",
    "OVER",
    "PARTITION",
    "PRECEDING",
    "RANGE",
    "RECURSIVE",
    "RIGHT",
    "ROW",
    "ROWS",
    "SELECT",
    "SHOW",
    "TABLES",
    "THEN",
    "TRUE",
    "UNBOUNDED",
    "UNION",
    "USING",
    "VALUES",
    "WHEN",
    "WHERE",
    "WITH",
];

/// What may stand where the cursor is.
#[derive(Debug, PartialEq)]
pub(super) enum Wanted {
    /// A file.
    File,
    /// One of these, in place of what stands from `start` to the cursor.
    Names {
        start: usize,
        candidates: Vec<String>,
    },
}

/// The names that a run has beside those that are everywhere.
#[derive(Debug)]
pub(super) struct Names {
    layers: Vec<String>,
}

impl Names {
    pub(super) fn new(session: Option<&QuerySession>) -> Self {
        let layers = session.map(|session| session.info().layers.layers());
        let layers = layers.into_iter().flatten();
        Self {
            layers: layers
                .map(|layer| layer.layer.as_str().to_owned())
                .collect(),
        }
    }

    /// What the word that ends at the byte `pos` of `line` may become.
    pub(super) fn wanted(&self, line: &str, pos: usize) -> Wanted {
        let before = &line[..pos];
        let of_command = before.trim_start();
        if of_command.starts_with('.') {
            return self.of_command(of_command, pos);
        }
        if let Some(quote) = open_quote(before) {
            let word = &before[quote + 1..];
            return beginning_with(word, quote + 1, self.layers.iter().cloned());
        }
        let start = begin_of_word(before);
        let word = &before[start..];
        // Alone, TAB would list all there is.
        if word.is_empty() {
            return Wanted::Names {
                start,
                candidates: Vec::new(),
            };
        }
        match word.rsplit_once('.') {
            Some((of, column)) => {
                let start = pos - column.len();
                beginning_with(column, start, columns_of(of))
            }
            None => beginning_with(word, start, sql_words(word)),
        }
    }

    fn of_command(&self, command: &str, pos: usize) -> Wanted {
        let words: Vec<&str> = command.split(char::is_whitespace).collect();
        let word = words.last().copied().unwrap_or_default();
        let start = pos - word.len();
        let kinds = |wanted: fn(DefinitionKind) -> bool| {
            let definitions = Definition::all().iter();
            let wanted = definitions.filter(move |definition| wanted(definition.kind));
            wanted.map(|definition| definition.name.clone())
        };
        let is_rows = |kind| !matches!(kind, DefinitionKind::Function(_));
        match words[..] {
            [_] => beginning_with(word, start, COMMANDS.map(str::to_owned).into_iter()),
            [".read" | ".output", ..] => Wanted::File,
            [".schema", _] => beginning_with(word, start, kinds(is_rows)),
            [".describe", _] => beginning_with(word, start, kinds(|_| true)),
            [".functions", _] => beginning_with(
                word,
                start,
                kinds(|kind| matches!(kind, DefinitionKind::Function(_))),
            ),
            [".run", _] => beginning_with(
                word,
                start,
                kinds(|kind| kind == DefinitionKind::NamedQuery),
            ),
            [".run", name, ..] => match word.split_once('=') {
                Some(("layer", begun)) => {
                    let start = pos - begun.len();
                    beginning_with(begun, start, self.layers.iter().cloned())
                }
                Some(_) => beginning_with(word, start, std::iter::empty()),
                None => beginning_with(word, start, parameters_of(name)),
            },
            [".format", _] => beginning_with(word, start, text_formats().map(str::to_owned)),
            [".timing", _] => {
                beginning_with(word, start, ["on", "off"].map(str::to_owned).into_iter())
            }
            _ => beginning_with(word, start, std::iter::empty()),
        }
    }
}

/// Those that begin with `word`, whatever the case, each once and in order.
fn beginning_with(word: &str, start: usize, candidates: impl Iterator<Item = String>) -> Wanted {
    let word = word.to_lowercase();
    let fitting = candidates.filter(|candidate| candidate.to_lowercase().starts_with(&word));
    let candidates: BTreeSet<String> = fitting.collect();
    Wanted::Names {
        start,
        candidates: candidates.into_iter().collect(),
    }
}

/// Tables, queries, columns, functions as they are called, and keywords in the case that was begun.
fn sql_words(word: &str) -> impl Iterator<Item = String> {
    let is_lower = word.chars().next().is_some_and(char::is_lowercase);
    let keywords = KEYWORDS.into_iter().map(move |keyword| match is_lower {
        true => keyword.to_lowercase(),
        false => keyword.to_owned(),
    });
    let names = Definition::all().iter().flat_map(|definition| {
        let columns = definition.columns.iter().map(|column| column.name.clone());
        let called = definition.names().map(|name| match definition.kind {
            DefinitionKind::Function(_) if definition.signature.ends_with("()") => {
                format!("{name}()")
            }
            DefinitionKind::Function(_) => format!("{name}("),
            _ => name.to_owned(),
        });
        columns.chain(called)
    });
    keywords.chain(names)
}

fn columns_of(of: &str) -> impl Iterator<Item = String> {
    // Schemas, as in `epochs.weights.bias`, come before the table.
    let of = of.rsplit('.').next().unwrap_or_default().to_lowercase();
    let definitions = Definition::all().iter();
    let named = definitions.filter(move |definition| definition.name == of);
    named.flat_map(|definition| definition.columns.iter().map(|column| column.name.clone()))
}

fn parameters_of(query: &str) -> impl Iterator<Item = String> {
    let definitions = Definition::all().iter();
    let named = definitions.filter(move |definition| definition.name == query);
    named.flat_map(|definition| {
        let parameters = definition.parameters.iter();
        parameters.map(|parameter| format!("{}=", parameter.name))
    })
}

/// Where the word at the end of a text begins.
fn begin_of_word(text: &str) -> usize {
    let is_of_word =
        |character: char| character.is_alphanumeric() || matches!(character, '_' | '.');
    text.trim_end_matches(is_of_word).len()
}

/// Where a string that is open at the end of a text begins.
fn open_quote(text: &str) -> Option<usize> {
    let mut open: Option<(usize, char)> = None;
    for (at, character) in text.char_indices() {
        match open {
            Some((_, quote)) if quote == character => open = None,
            None if matches!(character, '\'' | '"') => open = Some((at, character)),
            _ => {}
        }
    }
    open.filter(|(_, quote)| *quote == '\'').map(|(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completed(line: &str) -> (usize, Vec<String>) {
        let names = Names {
            layers: vec!["L_input".to_owned(), "L_output".to_owned()],
        };
        match names.wanted(line, line.len()) {
            Wanted::Names { start, candidates } => (start, candidates),
            Wanted::File => panic!("{line}: a file"),
        }
    }

    #[track_caller]
    fn assert_has(line: &str, start: usize, expected: &[&str]) {
        let (begins, candidates) = completed(line);
        assert_eq!(begins, start, "{line}");
        for name in expected {
            assert!(
                candidates.iter().any(|c| c == name),
                "{line}: {candidates:?}"
            );
        }
    }

    #[test]
    fn names_and_keywords_are_completed_in_sql() {
        assert_has("SELECT vec_me", 7, &["vec_mean("]);
        assert_has("SELECT VEC_ME", 7, &["vec_mean("]);
        assert_has("sel", 0, &["select"]);
        assert_has("SEL", 0, &["SELECT"]);
        assert_has(
            "SELECT * FROM wei",
            14,
            &["weights", "weight_drift", "weight_l2"],
        );
        assert_has("SELECT * FROM conn", 14, &["connections", "connections()"]);
        assert_has("WHERE epoch=la", 12, &["last_epoch()"]);
        assert_has("SELECT weights.bi", 15, &["bias"]);
        assert_has("SELECT avg(list_a", 11, &["list_avg("]);
        assert_eq!(completed("SELECT ").1, [""; 0]);
        assert_eq!(completed("SELECT zzz").1, [""; 0]);
    }

    #[test]
    fn layers_are_completed_in_strings() {
        assert_eq!(
            completed("WHERE layer = 'L_"),
            (15, vec!["L_input".to_owned(), "L_output".to_owned()])
        );
        assert_has("WHERE layer = 'x' AND epo", 22, &["epoch"]);
    }

    #[test]
    fn commands_and_what_they_take_are_completed() {
        assert_eq!(completed(".ti"), (0, vec![".timing".to_owned()]));
        assert_eq!(completed(".run confu").1, ["confusion"]);
        assert_eq!(
            completed(".run confusion ep"),
            (15, vec!["epoch=".to_owned()])
        );
        assert_eq!(
            completed(".run by_layer layer=L_o"),
            (20, vec!["L_output".to_owned()])
        );
        assert_eq!(completed(".format c").1, ["csv"]);
        assert_eq!(completed(".describe vec_me").1, ["vec_mean"]);
        assert_eq!(completed(".schema by_l").1, ["by_layer"]);
        let names = Names { layers: Vec::new() };
        assert_eq!(names.wanted(".read quer", 10), Wanted::File);
    }

    #[test]
    fn a_cursor_within_a_line_completes_what_is_before_it() {
        let names = Names { layers: Vec::new() };
        let wanted = names.wanted("SELECT vec_me FROM weights", 13);
        let Wanted::Names { start, candidates } = wanted else {
            panic!("a file");
        };
        assert_eq!((start, candidates), (7, vec!["vec_mean(".to_owned()]));
    }
}
