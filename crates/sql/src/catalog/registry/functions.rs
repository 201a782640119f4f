//! The functions: ours, DataFusion's that belong beside them, and the rest of DataFusion's.

use datafusion::execution::SessionStateDefaults;
use datafusion::logical_expr::Documentation;

use super::tables::with_links;
use super::{Definition, DefinitionKind};
use crate::functions::{EPOCH_DOCS, FunctionDoc, FunctionKind, function_docs};
use crate::named::Column;
use crate::run::error::without_settings;
use crate::tables::connections::CONNECTIONS;
use crate::tables::successive::SUCCESSIVE_WEIGHTS;

/// A function that makes rows.
struct TableFunctionDoc {
    name: &'static str,
    is_builtin: bool,
    signature: &'static str,
    purpose: &'static str,
    /// Name, type and meaning of each column.
    columns: &'static [(&'static str, &'static str, &'static str)],
    example: &'static str,
}

const EPOCH: (&str, &str, &str) = (
    "epoch",
    "Int32",
    "the epoch, from 0; -1 for the untrained network",
);
const LAYER: (&str, &str, &str) = ("layer", "Utf8", "the neuron's layer");
const STEP: (&str, &str, &str) = ("step", "Int64", "optimizer steps done");
const RANK: (&str, &str, &str) = ("rank", "Int32", "the process that recorded it");
const NEURON: (&str, &str, &str) = ("neuron", "Int32", "the neuron's id across the network");

const TABLE_FUNCTIONS: [TableFunctionDoc; 4] = [
    TableFunctionDoc {
        name: CONNECTIONS,
        is_builtin: false,
        signature: "connections()",
        purpose: "A row a weight, with the input or the neuron that it comes from. Filters on \
                  epoch, layer and neuron are applied before rows are taken apart.",
        columns: &[
            EPOCH,
            LAYER,
            STEP,
            RANK,
            ("neuron", "Int32", "the neuron that the connection leads to"),
            (
                "position",
                "Int32",
                "its place among the neuron's weights, from 0",
            ),
            (
                "source",
                "Utf8",
                "where it comes from: input_3, n_7; null where that is not known",
            ),
            (
                "source_input",
                "Int32",
                "the input that it comes from, from 0",
            ),
            ("source_neuron", "Int32", "the neuron that it comes from"),
            ("weight", "Float32", "its strength"),
        ],
        example: "SELECT source, weight FROM connections() \
                  WHERE epoch = last_epoch() AND neuron = 0 ORDER BY abs(weight) DESC LIMIT 5",
    },
    TableFunctionDoc {
        name: SUCCESSIVE_WEIGHTS,
        is_builtin: false,
        signature: "successive_weights()",
        purpose: "Each neuron's weights beside those of the capture before and of the first. A \
                  window function would sort the weights of the whole run for it.",
        columns: &[
            EPOCH,
            LAYER,
            STEP,
            RANK,
            NEURON,
            ("weights", "List(Float32)", "incoming weights"),
            (
                "previous_weights",
                "List(Float32)",
                "those of the capture before; null at the first",
            ),
            (
                "first_weights",
                "List(Float32)",
                "those that were recorded first",
            ),
        ],
        example: "SELECT epoch, layer, avg(vec_l2_distance(weights, previous_weights)) AS moved \
                  FROM successive_weights() GROUP BY epoch, layer ORDER BY epoch, layer",
    },
    TableFunctionDoc {
        name: "range",
        is_builtin: true,
        signature: "range([start,] stop [, step])",
        purpose: "Whole numbers from start, or 0, to below stop.",
        columns: &[("value", "Int64", "the number")],
        example: "SELECT r.value AS epoch, count(w.neuron) AS neurons \
                  FROM range(0, last_epoch() + 1) AS r LEFT JOIN weights AS w \
                  ON w.epoch = r.value GROUP BY r.value ORDER BY r.value",
    },
    TableFunctionDoc {
        name: "generate_series",
        is_builtin: true,
        signature: "generate_series([start,] stop [, step])",
        purpose: "Whole numbers from start, or 0, to stop.",
        columns: &[("value", "Int64", "the number")],
        example: "SELECT value AS epoch FROM generate_series(0, 20, 5)",
    },
];

/// DataFusion's functions of lists that are of use beside ours.
const OF_LISTS: [FunctionDoc; 15] = [
    FunctionDoc {
        name: "array_distance",
        aliases: &["list_distance"],
        kind: FunctionKind::Scalar,
        signature: "array_distance(a, b)",
        summary: "Euclidean distance of two lists, as a Float64; vec_l2_distance is the same as a \
                  Float32, and refuses a NULL inside a list",
        example: "SELECT epoch, array_distance(weights, first_weights) AS moved \
                  FROM successive_weights() WHERE neuron = 0 ORDER BY epoch",
    },
    FunctionDoc {
        name: "cosine_distance",
        aliases: &[],
        kind: FunctionKind::Scalar,
        signature: "cosine_distance(a, b)",
        summary: "1 minus the cosine of the angle between two lists, so 1 - vec_cosine(a, b): 0 \
                  for lists of one direction, 2 for opposite ones; NULL where one is all zeros",
        example: "SELECT epoch, cosine_distance(weights, first_weights) AS turned \
                  FROM successive_weights() WHERE neuron = 0 ORDER BY epoch",
    },
    FunctionDoc {
        name: "inner_product",
        aliases: &["dot_product"],
        kind: FunctionKind::Scalar,
        signature: "inner_product(a, b)",
        summary: "sum of the products of two lists, element by element",
        example: "SELECT neuron, inner_product(weights, first_weights) FROM successive_weights()",
    },
    FunctionDoc {
        name: "array_normalize",
        aliases: &["list_normalize"],
        kind: FunctionKind::Scalar,
        signature: "array_normalize(list)",
        summary: "the list divided by its Euclidean length (vec_norm); NULL where it is all zeros",
        example: "SELECT neuron, array_normalize(weights) FROM weights",
    },
    FunctionDoc {
        name: "array_add",
        aliases: &["list_add"],
        kind: FunctionKind::Scalar,
        signature: "array_add(a, b)",
        summary: "sum of two lists, element by element; vec_sum is that of rows",
        example: "SELECT neuron, array_add(weights, first_weights) FROM successive_weights()",
    },
    FunctionDoc {
        name: "array_subtract",
        aliases: &["list_subtract"],
        kind: FunctionKind::Scalar,
        signature: "array_subtract(a, b)",
        summary: "difference of two lists, element by element",
        example: "SELECT epoch, neuron, array_subtract(weights, previous_weights) AS step \
                  FROM successive_weights()",
    },
    FunctionDoc {
        name: "array_scale",
        aliases: &["list_scale"],
        kind: FunctionKind::Scalar,
        signature: "array_scale(list, factor)",
        summary: "each element times a number",
        example: "SELECT neuron, array_scale(weights, 0.5) FROM weights",
    },
    FunctionDoc {
        name: "array_avg",
        aliases: &["list_avg"],
        kind: FunctionKind::Scalar,
        signature: "array_avg(list)",
        summary: "mean of a list's elements; vec_mean is that of rows, element by element",
        example: "SELECT neuron, list_avg(weights) FROM weights",
    },
    FunctionDoc {
        name: "array_sum",
        aliases: &["list_sum"],
        kind: FunctionKind::Scalar,
        signature: "array_sum(list)",
        summary: "sum of a list's elements; vec_sum is that of rows, element by element",
        example: "SELECT neuron, list_sum(weights) FROM weights",
    },
    FunctionDoc {
        name: "array_min",
        // The alias is ours.
        aliases: &["list_min"],
        kind: FunctionKind::Scalar,
        signature: "array_min(list)",
        summary: "smallest of a list's elements; vec_min is that of rows, element by element",
        example: "SELECT neuron, list_min(weights) FROM weights",
    },
    FunctionDoc {
        name: "array_max",
        aliases: &["list_max"],
        kind: FunctionKind::Scalar,
        signature: "array_max(list)",
        summary: "largest of a list's elements; vec_max is that of rows, element by element",
        example: "SELECT neuron, list_max(weights) FROM weights",
    },
    FunctionDoc {
        name: "array_length",
        aliases: &["list_length"],
        kind: FunctionKind::Scalar,
        signature: "array_length(list)",
        summary: "number of a list's elements",
        example: "SELECT layer, max(array_length(weights)) FROM weights GROUP BY layer",
    },
    FunctionDoc {
        name: "array_element",
        aliases: &["array_extract", "list_element", "list_extract"],
        kind: FunctionKind::Scalar,
        signature: "array_element(list, place)",
        summary: "the element at a place, counted from 1, as list[place] is; NULL past the list's \
                  end",
        example: "SELECT neuron, array_element(weights, 1) AS first, weights[2] AS second \
                  FROM weights",
    },
    FunctionDoc {
        name: "array_slice",
        aliases: &["list_slice"],
        kind: FunctionKind::Scalar,
        signature: "array_slice(list, first, last [, stride])",
        summary: "the elements from one place to another, both counted from 1 and included",
        example: "SELECT neuron, array_slice(weights, 1, 2) FROM weights",
    },
    FunctionDoc {
        name: "array_sort",
        aliases: &["list_sort"],
        kind: FunctionKind::Scalar,
        signature: "array_sort(list [, 'ASC' or 'DESC' [, 'NULLS FIRST' or 'NULLS LAST']])",
        summary: "the list in order",
        example: "SELECT neuron, array_sort(weights, 'DESC') FROM weights",
    },
];

/// The functions that we document: ours, aggregates first, and DataFusion's beside them.
pub(super) fn documented() -> Vec<Definition> {
    let own = function_docs().iter().chain(&EPOCH_DOCS);
    let own = own.map(|doc| of_doc(doc, false));
    let beside = OF_LISTS.iter().map(|doc| of_doc(doc, true));
    let tables = TABLE_FUNCTIONS.iter().map(of_table_function);
    own.chain(beside).chain(tables).collect()
}

fn of_doc(doc: &FunctionDoc, is_builtin: bool) -> Definition {
    Definition {
        name: doc.name.to_owned(),
        aliases: doc.aliases.iter().copied().map(str::to_owned).collect(),
        kind: DefinitionKind::Function(doc.kind),
        is_builtin,
        signature: doc.signature.to_owned(),
        purpose: doc.summary.to_owned(),
        parameters: Vec::new(),
        columns: Vec::new(),
        example: Some(doc.example.to_owned()),
        sql: None,
    }
}

fn of_table_function(doc: &TableFunctionDoc) -> Definition {
    let column = |&(name, data_type, meaning): &(&str, &str, &str)| Column {
        name: name.to_owned(),
        data_type: data_type.to_owned(),
        meaning: meaning.to_owned(),
    };
    Definition {
        name: doc.name.to_owned(),
        aliases: Vec::new(),
        kind: DefinitionKind::Function(FunctionKind::Table),
        is_builtin: doc.is_builtin,
        signature: doc.signature.to_owned(),
        purpose: doc.purpose.to_owned(),
        parameters: Vec::new(),
        columns: doc.columns.iter().map(column).collect(),
        example: Some(doc.example.to_owned()),
        sql: None,
    }
}

/// DataFusion's own functions, in its own words.
pub(super) fn builtin() -> Vec<Definition> {
    let scalar = SessionStateDefaults::default_scalar_functions().into_iter();
    let scalar = scalar.map(|f| {
        of_builtin(
            FunctionKind::Scalar,
            f.name(),
            f.aliases(),
            f.documentation(),
        )
    });
    let of_lambdas = SessionStateDefaults::default_higher_order_functions().into_iter();
    let of_lambdas = of_lambdas.map(|f| {
        of_builtin(
            FunctionKind::Scalar,
            f.name(),
            f.aliases(),
            f.documentation(),
        )
    });
    let aggregate = SessionStateDefaults::default_aggregate_functions().into_iter();
    let aggregate = aggregate.map(|f| {
        of_builtin(
            FunctionKind::Aggregate,
            f.name(),
            f.aliases(),
            f.documentation(),
        )
    });
    let window = SessionStateDefaults::default_window_functions().into_iter();
    let window = window.map(|f| {
        of_builtin(
            FunctionKind::Window,
            f.name(),
            f.aliases(),
            f.documentation(),
        )
    });
    scalar
        .chain(of_lambdas)
        .chain(aggregate)
        .chain(window)
        .collect()
}

fn of_builtin(
    kind: FunctionKind,
    name: &str,
    aliases: &[String],
    documentation: Option<&Documentation>,
) -> Definition {
    let names = || aliases.iter().map(String::as_str).chain([name]);
    let signature = documentation.map(|known| known.syntax_example.trim());
    // Some of them show the call of another function.
    let signature = signature.filter(|call| names().any(|name| call.starts_with(name)));
    let purpose = documentation.map(|known| in_one_line(&known.description));
    Definition {
        name: name.to_owned(),
        aliases: aliases.to_vec(),
        kind: DefinitionKind::Function(kind),
        is_builtin: true,
        signature: signature.map_or_else(|| format!("{name}(...)"), str::to_owned),
        purpose: purpose.unwrap_or_else(|| "A function of DataFusion's.".to_owned()),
        parameters: Vec::new(),
        columns: Vec::new(),
        example: None,
        sql: None,
    }
}

/// A description's first paragraph, without what SQL over a run refuses.
fn in_one_line(description: &str) -> String {
    let lines = description.lines().map(str::trim);
    let lines = lines.skip_while(|line| line.is_empty());
    let lines: Vec<&str> = lines.take_while(|line| !line.is_empty()).collect();
    let text = with_links(&lines.join(" "), |shown, _| shown.to_owned());
    without_settings(&text)
}
