//! What each function is, for `query describe` and for error messages.

/// Whether a function reduces rows or maps them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FunctionKind {
    /// One value a group of rows.
    Aggregate,
    /// One value a row.
    Scalar,
}

/// A function as a user looks it up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FunctionDoc {
    /// The name in SQL.
    pub name: &'static str,
    /// Whether it is an aggregate.
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

const DOCS: &[FunctionDoc] = &[
    FunctionDoc {
        name: "vec_mean",
        kind: FunctionKind::Aggregate,
        signature: "vec_mean(list)",
        summary: "mean over rows, element by element",
        example: "SELECT layer, vec_mean(weights) FROM weights GROUP BY layer",
    },
    FunctionDoc {
        name: "vec_sum",
        kind: FunctionKind::Aggregate,
        signature: "vec_sum(list)",
        summary: "sum over rows, element by element",
        example: "SELECT layer, vec_sum(weights) FROM weights GROUP BY layer",
    },
    FunctionDoc {
        name: "vec_var",
        kind: FunctionKind::Aggregate,
        signature: "vec_var(list)",
        summary: "population variance over rows, element by element",
        example: "SELECT neuron, vec_var(weights) FROM weights GROUP BY neuron",
    },
    FunctionDoc {
        name: "vec_min",
        kind: FunctionKind::Aggregate,
        signature: "vec_min(list)",
        summary: "minimum over rows, element by element; NaN where any is NaN",
        example: "SELECT neuron, vec_min(weights) FROM weights GROUP BY neuron",
    },
    FunctionDoc {
        name: "vec_max",
        kind: FunctionKind::Aggregate,
        signature: "vec_max(list)",
        summary: "maximum over rows, element by element; NaN where any is NaN",
        example: "SELECT neuron, vec_max(weights) FROM weights GROUP BY neuron",
    },
    FunctionDoc {
        name: "vec_collect",
        kind: FunctionKind::Aggregate,
        signature: "vec_collect(value [ORDER BY key, ...])",
        summary: "the values of a group as one list, NULLs kept",
        example: "SELECT neuron, vec_collect(bias ORDER BY epoch) FROM weights GROUP BY neuron",
    },
    FunctionDoc {
        name: "pad",
        kind: FunctionKind::Scalar,
        signature: "pad(list, width [, value])",
        summary: "the list followed by 0.0, or by value, up to width elements",
        example: "SELECT neuron, pad(weights, 128) FROM weights",
    },
    FunctionDoc {
        name: "vec_filter",
        kind: FunctionKind::Scalar,
        signature: "vec_filter(list, mask)",
        summary: "the elements whose place in the list of booleans is true",
        example: "SELECT neuron, vec_filter(activations, mask) FROM activations a JOIN \
                  (SELECT epoch, vec_collect(correct ORDER BY sample) AS mask \
                  FROM classifications GROUP BY epoch) c ON a.epoch = c.epoch",
    },
    FunctionDoc {
        name: "vec_l2_distance",
        kind: FunctionKind::Scalar,
        signature: "vec_l2_distance(a, b)",
        summary: "Euclidean distance of two lists",
        example: "SELECT epoch, vec_l2_distance(weights, lag(weights) OVER (ORDER BY epoch)) \
                  FROM weights WHERE neuron = 0",
    },
    FunctionDoc {
        name: "vec_cosine",
        kind: FunctionKind::Scalar,
        signature: "vec_cosine(a, b)",
        summary: "cosine of the angle between two lists; NULL where one is all zeros",
        example: "SELECT epoch, vec_cosine(weights, lag(weights) OVER (ORDER BY epoch)) \
                  FROM weights WHERE neuron = 0",
    },
    FunctionDoc {
        name: "vec_corr",
        kind: FunctionKind::Scalar,
        signature: "vec_corr(a, b)",
        summary: "Pearson correlation of two lists; NULL where one is constant",
        example: "SELECT a.neuron, b.neuron, vec_corr(a.activations, b.activations) \
                  FROM activations a \
                  JOIN activations b ON a.epoch = b.epoch AND a.neuron < b.neuron",
    },
    FunctionDoc {
        name: "vec_norm",
        kind: FunctionKind::Scalar,
        signature: "vec_norm(list)",
        summary: "Euclidean length of a list",
        example: "SELECT neuron, vec_norm(weights) FROM weights",
    },
    FunctionDoc {
        name: "list_std",
        kind: FunctionKind::Scalar,
        signature: "list_std(list)",
        summary: "standard deviation of a list's elements, of the population; NULL where there \
                  are none",
        example: "SELECT neuron, list_avg(activations), list_std(activations) FROM activations",
    },
    FunctionDoc {
        name: "list_mean_by",
        kind: FunctionKind::Scalar,
        signature: "list_mean_by(list, groups)",
        summary: "mean of a list's elements by group, at the place of the group's number; NULL \
                  for a group without elements",
        example: "SELECT neuron, list_mean_by(activations, targets) FROM activations a JOIN \
                  (SELECT epoch, vec_collect(target ORDER BY sample) AS targets \
                  FROM classifications GROUP BY epoch) c ON a.epoch = c.epoch",
    },
];
