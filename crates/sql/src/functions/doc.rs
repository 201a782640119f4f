//! What each function is, for `query describe`, for SHOW FUNCTIONS and for error messages.

use std::collections::HashMap;
use std::sync::LazyLock;

use datafusion::logical_expr::{DocSection, Documentation};

/// What a function makes of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FunctionKind {
    /// One value a group of rows.
    Aggregate,
    /// One value a row.
    Scalar,
    /// One value a row, of the rows around it.
    Window,
    /// Rows.
    Table,
}

/// A function as a user looks it up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FunctionDoc {
    /// The name in SQL.
    pub name: &'static str,
    /// Other names of the same function.
    pub aliases: &'static [&'static str],
    /// What it makes of rows.
    pub kind: FunctionKind,
    /// The call with its arguments, optional ones in brackets.
    pub signature: &'static str,
    /// What it means, in one line.
    pub summary: &'static str,
    /// A query over the tables of a run that uses it.
    pub example: &'static str,
}

/// Every list function, aggregates first.
pub fn function_docs() -> &'static [FunctionDoc] {
    DOCS
}

/// What DataFusion is told of a list function: `information_schema.routines` shows it, in sessions
/// that are not ours as well.
pub(super) fn documentation(name: &str) -> Option<&'static Documentation> {
    static DOCUMENTATION: LazyLock<HashMap<&str, Documentation>> = LazyLock::new(|| {
        let document = |doc: &FunctionDoc| {
            let section = DocSection {
                label: "List Functions",
                ..DocSection::default()
            };
            Documentation::builder(section, doc.summary, doc.signature)
                .with_sql_example(doc.example)
                .build()
        };
        DOCS.iter().map(|doc| (doc.name, document(doc))).collect()
    });
    DOCUMENTATION.get(name)
}

const DOCS: &[FunctionDoc] = &[
    FunctionDoc {
        name: "vec_mean",
        aliases: &["vec_avg"],
        kind: FunctionKind::Aggregate,
        signature: "vec_mean(list)",
        summary: "mean over rows, element by element",
        example: "SELECT layer, vec_mean(weights) FROM weights GROUP BY layer",
    },
    FunctionDoc {
        name: "vec_sum",
        aliases: &[],
        kind: FunctionKind::Aggregate,
        signature: "vec_sum(list)",
        summary: "sum over rows, element by element",
        example: "SELECT layer, vec_sum(weights) FROM weights GROUP BY layer",
    },
    FunctionDoc {
        name: "vec_var",
        aliases: &["vec_var_pop"],
        kind: FunctionKind::Aggregate,
        signature: "vec_var(list)",
        summary: "population variance over rows (divided by their number), element by element",
        example: "SELECT neuron, vec_var(weights) FROM weights GROUP BY neuron",
    },
    FunctionDoc {
        name: "vec_var_samp",
        aliases: &[],
        kind: FunctionKind::Aggregate,
        signature: "vec_var_samp(list)",
        summary: "sample variance over rows (divided by their number less one), element by \
                  element; NULL of a single row",
        example: "SELECT neuron, vec_var_samp(weights) FROM weights GROUP BY neuron",
    },
    FunctionDoc {
        name: "vec_min",
        aliases: &[],
        kind: FunctionKind::Aggregate,
        signature: "vec_min(list)",
        summary: "minimum over rows, element by element; NaN where any is NaN",
        example: "SELECT neuron, vec_min(weights) FROM weights GROUP BY neuron",
    },
    FunctionDoc {
        name: "vec_max",
        aliases: &[],
        kind: FunctionKind::Aggregate,
        signature: "vec_max(list)",
        summary: "maximum over rows, element by element; NaN where any is NaN",
        example: "SELECT neuron, vec_max(weights) FROM weights GROUP BY neuron",
    },
    FunctionDoc {
        name: "vec_collect",
        aliases: &[],
        kind: FunctionKind::Aggregate,
        signature: "vec_collect(value [ORDER BY key, ...])",
        summary: "the values of a group as one list, NULLs kept",
        example: "SELECT neuron, vec_collect(bias ORDER BY step) FROM weights GROUP BY neuron",
    },
    FunctionDoc {
        name: "pad",
        aliases: &[],
        kind: FunctionKind::Scalar,
        signature: "pad(list, width [, value])",
        summary: "the list followed by 0.0, or by value, up to width elements",
        example: "SELECT neuron, pad(weights, 128) FROM weights",
    },
    FunctionDoc {
        name: "vec_filter",
        aliases: &[],
        kind: FunctionKind::Scalar,
        signature: "vec_filter(list, mask)",
        summary: "the elements whose place in the list of booleans is true",
        example: "SELECT neuron, vec_filter(activations, mask) FROM activations a JOIN \
                  (SELECT step, vec_collect(correct ORDER BY sample) AS mask \
                  FROM classifications GROUP BY step) c ON a.step = c.step WHERE a.phase = 'eval'",
    },
    FunctionDoc {
        name: "vec_l2_distance",
        aliases: &[],
        kind: FunctionKind::Scalar,
        signature: "vec_l2_distance(a, b)",
        summary: "Euclidean distance of two lists",
        example: "SELECT step, vec_l2_distance(weights, lag(weights) OVER (ORDER BY step)) \
                  FROM weights WHERE neuron = 0",
    },
    FunctionDoc {
        name: "vec_cosine",
        aliases: &[],
        kind: FunctionKind::Scalar,
        signature: "vec_cosine(a, b)",
        summary: "cosine of the angle between two lists; NULL where one is all zeros",
        example: "SELECT step, vec_cosine(weights, lag(weights) OVER (ORDER BY step)) \
                  FROM weights WHERE neuron = 0",
    },
    FunctionDoc {
        name: "vec_corr",
        aliases: &[],
        kind: FunctionKind::Scalar,
        signature: "vec_corr(a, b)",
        summary: "Pearson correlation of two lists; NULL where one is constant",
        example: "SELECT a.neuron, b.neuron, vec_corr(a.activations, b.activations) \
                  FROM activations a \
                  JOIN activations b ON a.step = b.step AND a.phase = b.phase \
                  AND a.neuron < b.neuron",
    },
    FunctionDoc {
        name: "vec_norm",
        aliases: &[],
        kind: FunctionKind::Scalar,
        signature: "vec_norm(list)",
        summary: "Euclidean length of a list",
        example: "SELECT neuron, vec_norm(weights) FROM weights",
    },
    FunctionDoc {
        name: "list_std",
        aliases: &[],
        kind: FunctionKind::Scalar,
        signature: "list_std(list)",
        summary: "standard deviation of a list's elements, of the population; NULL where there \
                  are none",
        example: "SELECT neuron, list_avg(activations), list_std(activations) FROM activations",
    },
    FunctionDoc {
        name: "list_mean_by",
        aliases: &[],
        kind: FunctionKind::Scalar,
        signature: "list_mean_by(list, groups)",
        summary: "mean of a list's elements by group, at the place of the group's number; NULL \
                  for a group without elements",
        example: "SELECT neuron, list_mean_by(activations, targets) FROM activations a JOIN \
                  (SELECT step, vec_collect(target ORDER BY sample) AS targets \
                  FROM classifications GROUP BY step) c ON a.step = c.step WHERE a.phase = 'eval'",
    },
];
