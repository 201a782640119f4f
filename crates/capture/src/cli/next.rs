//! What to try next with a run that was just recorded.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::path::Path;

use trace::Table;

/// How many commands are shown.
const NUM_COMMANDS: usize = 2;

/// Tables in the order in which people ask first.
const BY_INTEREST: [Table; 5] = [
    Table::Metrics,
    Table::Weights,
    Table::Classifications,
    Table::Activations,
    Table::Histograms,
];

/// How the program that asks is called from the workspace.
pub const QUERY: &str = "cargo run --release -p query --";

/// Says what to try next with a run of so many captures, if there is anything to ask; `query` is how the
/// program that asks is called.
pub fn write(
    text: &mut String,
    query: &str,
    run: &Path,
    recorded: &[Table],
    num_captures: u64,
) -> std::fmt::Result {
    if num_captures == 0 {
        return Ok(());
    }
    let commands = commands(query, run, recorded);
    if !commands.is_empty() {
        writeln!(text, "next:")?;
    }
    for command in commands {
        writeln!(text, "  {command}")?;
    }
    Ok(())
}

/// Commands that answer something of what was recorded, to be pasted into a POSIX shell; none for a
/// path that is no text.
fn commands(query: &str, run: &Path, recorded: &[Table]) -> Vec<String> {
    let Some(run) = run.to_str().map(quote) else {
        return Vec::new();
    };
    let tables = || {
        BY_INTEREST
            .into_iter()
            .filter(move |t| recorded.contains(t))
    };
    let [first, second] = [0, 1].map(|nth| tables().map(move |table| questions(table)[nth]));
    // A second question of a table only where there is no other table.
    first
        .chain(second)
        .take(NUM_COMMANDS)
        .map(|question| match question {
            Question::Named(name) => format!("{query} run {name} {run}"),
            Question::Sql(sql) => format!("{query} sql {run} \"{sql}\""),
        })
        .collect()
}

#[derive(Clone, Copy)]
enum Question {
    /// A named query.
    Named(&'static str),
    /// A statement without characters that a shell reads between double quotes.
    Sql(&'static str),
}

/// Two questions that a table answers alone.
fn questions(table: Table) -> [Question; 2] {
    use Question::{Named, Sql};
    match table {
        Table::Weights => [
            Sql("SELECT epoch, layer, avg(weight_l2) FROM weights GROUP BY 1, 2 ORDER BY 1, 2"),
            Named("by_neuron"),
        ],
        Table::Activations => [
            Sql(
                "SELECT epoch, layer, avg(activation_mean) FROM activations GROUP BY 1, 2 ORDER BY 1, 2",
            ),
            Sql(
                "SELECT layer, neuron, avg(activation_std) FROM activations GROUP BY 1, 2 ORDER BY 3",
            ),
        ],
        Table::Classifications => [Named("confusion"), Named("classification_series")],
        Table::Metrics => [Named("learning_curve"), Named("overhead")],
        Table::Histograms => [
            Sql("SELECT epoch, layer, of, edges, counts FROM histograms ORDER BY 1, 2, 3"),
            Sql("SELECT layer, of, vec_sum(counts) FROM histograms GROUP BY 1, 2 ORDER BY 1, 2"),
        ],
        Table::Gradients => [
            Sql("SELECT epoch, layer, avg(weight_l2) FROM gradients GROUP BY 1, 2 ORDER BY 1, 2"),
            Sql(
                "SELECT layer, neuron, avg(weight_l2) FROM gradients GROUP BY 1, 2 ORDER BY 3 DESC",
            ),
        ],
        Table::GradientsApplied => [
            Sql(
                "SELECT epoch, layer, avg(weight_l2) FROM gradients_applied GROUP BY 1, 2 ORDER BY 1, 2",
            ),
            Sql(
                "SELECT layer, neuron, avg(weight_l2) FROM gradients_applied GROUP BY 1, 2 ORDER BY 3 DESC",
            ),
        ],
        Table::Moments => [
            Sql(
                "SELECT epoch, layer, name, avg(weight_l2) FROM moments GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
            ),
            Sql(
                "SELECT layer, neuron, name, avg(weight_l2) FROM moments GROUP BY 1, 2, 3 ORDER BY 4 DESC",
            ),
        ],
        Table::Resume | Table::Structures | Table::Ablations => {
            unreachable!("not in BY_INTEREST: a recorder's own, or not recorded")
        }
    }
}

/// A path as one word of a POSIX shell that no program takes for an option.
fn quote(path: &str) -> Cow<'_, str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:=@%".contains(c);
    let path = match path.starts_with('-') {
        true => Cow::Owned(format!("./{path}")),
        false => Cow::Borrowed(path),
    };
    if !path.is_empty() && path.chars().all(is_plain) {
        return path;
    }
    Cow::Owned(format!("'{}'", path.replace('\'', r"'\''")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_word_of_a_shell() {
        for (path, quoted) in [
            ("traces/digits-2", "traces/digits-2"),
            ("my run", "'my run'"),
            ("$HOME/*", "'$HOME/*'"),
            ("Ada's", r"'Ada'\''s'"),
            ("~", "'~'"),
            ("-v", "./-v"),
            ("-v w", "'./-v w'"),
            ("zürich", "'zürich'"),
        ] {
            assert_eq!(quote(path), quoted);
        }
    }

    #[test]
    fn the_commands_ask_for_what_was_recorded() {
        let commands = |recorded: &[Table]| commands(QUERY, Path::new("a b"), recorded);
        assert_eq!(
            commands(&[Table::Metrics]),
            [
                "cargo run --release -p query -- run learning_curve 'a b'",
                "cargo run --release -p query -- run overhead 'a b'",
            ]
        );
        assert_eq!(
            commands(&[Table::Classifications, Table::Metrics]),
            [
                "cargo run --release -p query -- run learning_curve 'a b'",
                "cargo run --release -p query -- run confusion 'a b'",
            ]
        );
        assert_eq!(commands(&[]), [""; 0]);
    }
}
