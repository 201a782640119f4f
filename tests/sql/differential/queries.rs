//! Queries drawn at random, with what of their answers has to be the same however they are planned.

use super::random::Random;

/// What a column holds, as far as it matters to what may be done with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Int,
    Float,
    Text,
    Bool,
    List,
}

/// A table or table function, as SQL names it.
#[derive(Debug)]
pub struct Source {
    pub name: &'static str,
    pub columns: Vec<(String, Kind)>,
    /// The columns of which no two rows have the same values, if that is known.
    pub key: &'static [&'static str],
}

/// What is compared of two answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compared {
    /// Rows in their order, which is a total one.
    Sequence,
    /// Rows in any order.
    Multiset,
    /// How many rows there are: any of them may be among them.
    NumRows,
}

/// A query, and what is compared of its answers.
#[derive(Debug)]
pub struct Query {
    pub sql: String,
    pub compared: Compared,
}

#[derive(Debug, Clone)]
struct Column {
    name: String,
    /// What it was called in the table that it comes from: what may be joined.
    origin: String,
    kind: Kind,
}

/// A query that is a part of another.
#[derive(Debug, Clone)]
struct Relation {
    sql: String,
    columns: Vec<Column>,
    /// Columns of which no two rows have the same values, nulls being the same.
    key: Option<Vec<String>>,
    /// How many rows it has at most, about.
    rows: usize,
}

/// Joins of more rows than that are not asked for.
const MAX_ROWS: usize = 4_000;

/// Draws queries over some tables.
pub struct Queries<'a> {
    random: Random,
    sources: &'a [Source],
    num_names: usize,
}

impl Relation {
    fn of_kind(&self, kind: impl Fn(Kind) -> bool) -> Vec<&Column> {
        let columns = self.columns.iter();
        columns.filter(|column| kind(column.kind)).collect()
    }

    /// Columns that tell all rows apart, unless they are the same in everything.
    fn total(&self) -> Vec<String> {
        let all = || self.columns.iter().map(|column| column.name.clone());
        self.key.clone().unwrap_or_else(|| all().collect())
    }
}

impl<'a> Queries<'a> {
    pub fn new(sources: &'a [Source], seed: u64) -> Self {
        Self {
            random: Random::new(seed),
            sources,
            num_names: 0,
        }
    }

    /// The next query.
    pub fn draw(&mut self) -> Query {
        self.num_names = 0;
        let depth = 1 + self.random.below(3);
        let relation = self.relation(depth);
        let from = format!("SELECT * FROM ({}) AS answer", relation.sql);
        let limit = 1 + self.random.below(40);
        let (sql, compared) = match self.random.below(8) {
            0 | 1 => (from, Compared::Multiset),
            2 => (format!("{from} LIMIT {limit}"), Compared::NumRows),
            3 => (relation.sql.clone(), Compared::Multiset),
            4 => {
                // Ties may come in any order.
                let order = self.order(&relation.total()[..1]);
                (format!("{from} ORDER BY {order}"), Compared::Multiset)
            }
            5 => {
                let offset = self.random.below(10);
                let order = self.order(&relation.total());
                let limited = format!("{from} ORDER BY {order} LIMIT {limit} OFFSET {offset}");
                (limited, Compared::Sequence)
            }
            6 => {
                let order = self.order(&relation.total());
                let limited = format!("{from} ORDER BY {order} LIMIT {limit}");
                (limited, Compared::Sequence)
            }
            _ => {
                let order = self.order(&relation.total());
                (format!("{from} ORDER BY {order}"), Compared::Sequence)
            }
        };
        Query { sql, compared }
    }

    fn name(&mut self, of: &str) -> String {
        self.num_names += 1;
        format!("{of}{}", self.num_names)
    }

    /// `ORDER BY` these columns: as they are stored, or in any direction.
    fn order(&mut self, columns: &[String]) -> String {
        let as_stored = self.random.one_in(2);
        let mut keys = Vec::new();
        for column in columns {
            let direction = match as_stored {
                true => "",
                false => self
                    .random
                    .of(&["", " DESC", " NULLS FIRST", " DESC NULLS LAST"]),
            };
            keys.push(format!("{column}{direction}"));
        }
        keys.join(", ")
    }

    fn relation(&mut self, depth: usize) -> Relation {
        if depth == 0 {
            return match self.random.below(8) {
                0 => self.by_capture(),
                _ => self.base(),
            };
        }
        match self.random.below(13) {
            0..=4 => self.join(depth),
            5 => self.aggregate(depth),
            6 => self.window(depth),
            7 => self.set_operation(depth),
            8 => self.limit(depth),
            9 | 10 => self.filter(depth),
            11 => self.with(depth),
            _ => self.project(depth),
        }
    }

    /// Some columns of a table, of some of its rows.
    fn base(&mut self) -> Relation {
        let source = self.random.of(self.sources);
        let table = self.name("t");
        let is_key = |name: &str| source.key.contains(&name);
        let keeps_key = !self.random.one_in(5);
        let mut columns: Vec<Column> = Vec::new();
        let mut selected = Vec::new();
        for (origin, kind) in &source.columns {
            let is_wanted = match (is_key(origin), *kind) {
                (true, _) if keeps_key => true,
                (_, Kind::List) => !self.random.one_in(4),
                _ => self.random.one_in(4),
            };
            if is_wanted || (columns.is_empty() && !selected.is_empty()) {
                let name = self.name("c");
                selected.push(format!("{table}.{origin} AS {name}"));
                columns.push(Column {
                    name,
                    origin: origin.clone(),
                    kind: *kind,
                });
            }
        }
        if columns.is_empty() {
            let (origin, kind) = &source.columns[0];
            let name = self.name("c");
            selected.push(format!("{table}.{origin} AS {name}"));
            let origin = origin.clone();
            columns.push(Column {
                name,
                origin,
                kind: *kind,
            });
        }
        let key = source.key.iter().map(|key| {
            let column = columns.iter().find(|column| column.origin == *key);
            column.map(|column| column.name.clone())
        });
        let key: Option<Vec<String>> = key.collect();
        let key = key.filter(|key| !key.is_empty());
        let filter = match self.random.below(3) {
            0 => String::new(),
            _ => {
                let named: Vec<Column> = source
                    .columns
                    .iter()
                    .map(|(origin, kind)| Column {
                        name: format!("{table}.{origin}"),
                        origin: origin.clone(),
                        kind: *kind,
                    })
                    .collect();
                format!(" WHERE {}", self.predicate(&named))
            }
        };
        Relation {
            sql: format!(
                "SELECT {} FROM {} AS {table}{filter}",
                selected.join(", "),
                source.name
            ),
            columns,
            key,
            rows: 250,
        }
    }

    /// What is collected of an epoch's samples: a row a capture.
    fn by_capture(&mut self) -> Relation {
        let [epoch, step, list] = [self.name("c"), self.name("c"), self.name("c")];
        let value = self.random.of(&["confidence", "target", "correct", "loss"]);
        let table = self
            .random
            .of(&["classifications", "epochs.classifications"]);
        let column = |name: &String, origin: &str, kind| Column {
            name: name.clone(),
            origin: origin.to_owned(),
            kind,
        };
        Relation {
            sql: format!(
                "SELECT epoch AS {epoch}, step AS {step}, \
                 vec_collect({value} ORDER BY sample) AS {list} \
                 FROM {table} WHERE phase = 'eval' GROUP BY epoch, step"
            ),
            columns: vec![
                column(&epoch, "epoch", Kind::Int),
                column(&step, "step", Kind::Int),
                column(&list, "collected", Kind::List),
            ],
            key: Some(vec![epoch, step]),
            rows: 8,
        }
    }

    /// A condition on some columns.
    fn predicate(&mut self, columns: &[Column]) -> String {
        let column = self.random.of(columns).clone();
        let name = &column.name;
        let number = self.random.below(7) as i64 - 1;
        match column.kind {
            Kind::Int if column.origin == "epoch" || column.origin == "step" => {
                match self.random.below(4) {
                    0 => format!("{name} = {number}"),
                    1 => format!("{name} >= {number}"),
                    2 => format!("{name} IN ({number}, {}, 4)", number + 2),
                    _ => format!("{name} BETWEEN {number} AND {}", number + 3),
                }
            }
            Kind::Int => match self.random.below(4) {
                0 => format!("{name} % 3 <> 1"),
                1 => format!("{name} IS NOT NULL"),
                2 => format!("({name} < {} OR {name} > 20)", 4 * number),
                _ => format!("{name} >= {}", 3 * number),
            },
            Kind::Float => match self.random.below(3) {
                0 => format!("{name} IS NULL"),
                1 => format!("{name} > 0.5"),
                _ => format!("{name} <= {number}.25"),
            },
            Kind::Text => match self.random.below(3) {
                0 => format!("{name} LIKE '%i%'"),
                1 => format!("{name} IN ('L_hidden', 'L_input', 'eval', 'loss')"),
                _ => format!("{name} <> 'L_output'"),
            },
            Kind::Bool => name.clone(),
            Kind::List => match self.random.below(2) {
                0 => format!("{name} IS NOT NULL"),
                _ => format!("array_length({name}) > 3"),
            },
        }
    }

    /// Pairs of columns that may be equal, those of one origin first.
    fn pairs(&mut self, left: &Relation, right: &Relation) -> Vec<(Column, Column)> {
        let mut same = Vec::new();
        let mut other = Vec::new();
        for a in &left.columns {
            for b in &right.columns {
                if a.kind != b.kind || !matches!(a.kind, Kind::Int | Kind::Text) {
                    continue;
                }
                match a.origin == b.origin {
                    true => same.push((a.clone(), b.clone())),
                    false => other.push((a.clone(), b.clone())),
                }
            }
        }
        if same.is_empty() || self.random.one_in(12) {
            self.random.shuffle(&mut other);
            other.truncate(2);
            same.append(&mut other);
        }
        self.random.shuffle(&mut same);
        let most = 1 + self.random.below(3);
        same.truncate(most);
        same
    }

    fn join(&mut self, depth: usize) -> Relation {
        let (of_left, of_right) = match self.random.one_in(2) {
            true => (depth - 1, 0),
            false => (0, depth - 1),
        };
        let [left, right] = [self.relation(of_left), self.relation(of_right)];
        let pairs = self.pairs(&left, &right);
        let is_by_neuron = pairs
            .iter()
            .any(|(a, _)| a.origin == "neuron" || a.origin == "sample");
        let rows = match (pairs.len(), is_by_neuron) {
            (0, _) => left.rows * right.rows,
            (1, true) => 8 * left.rows.max(right.rows),
            (_, true) => 2 * left.rows.max(right.rows),
            (1, false) => left.rows * right.rows / 5,
            (_, false) => left.rows * right.rows / 8,
        };
        if rows > MAX_ROWS {
            return left;
        }
        let [a, b] = [self.name("l"), self.name("r")];
        if pairs.is_empty() {
            let sql = |columns: &str| {
                format!(
                    "SELECT {columns} FROM ({}) AS {a} CROSS JOIN ({}) AS {b}",
                    left.sql, right.sql
                )
            };
            return Relation {
                sql: sql("*"),
                key: both_keys(&left, &right),
                columns: [left.columns, right.columns].concat(),
                rows,
            };
        }
        let equal = match self.random.one_in(10) {
            true => " IS NOT DISTINCT FROM ",
            false => " = ",
        };
        let on = pairs.iter().map(|(of_left, of_right)| {
            format!("({a}.{}{equal}{b}.{})", of_left.name, of_right.name)
        });
        let mut on: Vec<String> = on.collect();
        if self.random.one_in(5) {
            let qualified = |alias: &str, columns: &[Column]| -> Vec<Column> {
                let columns = columns.iter().map(|column| Column {
                    name: format!("{alias}.{}", column.name),
                    ..column.clone()
                });
                columns.collect()
            };
            let both = [qualified(&a, &left.columns), qualified(&b, &right.columns)].concat();
            on.push(self.predicate(&both));
        }
        let kind = self.random.of(&[
            "INNER",
            "INNER",
            "INNER",
            "LEFT",
            "LEFT",
            "RIGHT",
            "RIGHT",
            "FULL",
            "LEFT SEMI",
            "RIGHT SEMI",
            "LEFT ANTI",
            "RIGHT ANTI",
        ]);
        let (columns, key) = match *kind {
            "LEFT SEMI" | "LEFT ANTI" => (left.columns.clone(), left.key.clone()),
            "RIGHT SEMI" | "RIGHT ANTI" => (right.columns.clone(), right.key.clone()),
            _ => (
                [left.columns.clone(), right.columns.clone()].concat(),
                // Rows of either side that have no partner may both have nulls for a key.
                both_keys(&left, &right).filter(|_| *kind != "FULL"),
            ),
        };
        let rows = match *kind {
            "LEFT SEMI" | "LEFT ANTI" => left.rows,
            "RIGHT SEMI" | "RIGHT ANTI" => right.rows,
            _ => rows,
        };
        let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        Relation {
            sql: format!(
                "SELECT {} FROM ({}) AS {a} {kind} JOIN ({}) AS {b} ON {}",
                names.join(", "),
                left.sql,
                right.sql,
                on.join(" AND ")
            ),
            columns,
            key,
            rows,
        }
    }

    fn aggregate(&mut self, depth: usize) -> Relation {
        let input = self.relation(depth - 1);
        let mut keys: Vec<Column> = input
            .of_kind(|kind| matches!(kind, Kind::Int | Kind::Text | Kind::Bool))
            .into_iter()
            .cloned()
            .collect();
        self.random.shuffle(&mut keys);
        let most = self.random.below(3);
        keys.truncate(most);
        let table = self.name("g");
        let mut columns = Vec::new();
        let mut selected = Vec::new();
        for key in &keys {
            let name = self.name("c");
            selected.push(format!("{table}.{} AS {name}", key.name));
            columns.push(Column {
                name,
                ..key.clone()
            });
        }
        let num_keys = columns.len();
        for _ in 0..1 + self.random.below(3) {
            let of = self.random.of(&input.columns).clone();
            let of_name = format!("{table}.{}", of.name);
            let (aggregate, kind) = match of.kind {
                Kind::Int => match self.random.below(5) {
                    0 => (format!("sum({of_name})"), Kind::Int),
                    1 => (format!("min({of_name})"), Kind::Int),
                    2 => (format!("avg({of_name})"), Kind::Float),
                    3 => (format!("count(DISTINCT {of_name})"), Kind::Int),
                    _ => (format!("max({of_name})"), Kind::Int),
                },
                Kind::Float => match self.random.below(4) {
                    0 => (format!("sum({of_name})"), Kind::Float),
                    1 => (format!("avg({of_name})"), Kind::Float),
                    2 => (format!("max({of_name})"), Kind::Float),
                    _ => (format!("stddev_pop({of_name})"), Kind::Float),
                },
                Kind::Text => (format!("min({of_name})"), Kind::Text),
                Kind::Bool => (format!("bool_or({of_name})"), Kind::Bool),
                Kind::List => (format!("count({of_name})"), Kind::Int),
            };
            let name = self.name("c");
            selected.push(format!("{aggregate} AS {name}"));
            columns.push(Column {
                name,
                origin: "aggregate".to_owned(),
                kind,
            });
        }
        let mut sql = format!(
            "SELECT {} FROM ({}) AS {table}",
            selected.join(", "),
            input.sql
        );
        if !keys.is_empty() {
            let keys: Vec<String> = keys
                .iter()
                .map(|key| format!("{table}.{}", key.name))
                .collect();
            sql = format!("{sql} GROUP BY {}", keys.join(", "));
            if self.random.one_in(4) {
                sql = format!("{sql} HAVING count(*) > 1");
            }
        }
        let key: Vec<String> = columns[..num_keys]
            .iter()
            .map(|key| key.name.clone())
            .collect();
        Relation {
            sql,
            columns,
            key: Some(key).filter(|key| !key.is_empty()),
            rows: input.rows,
        }
    }

    fn window(&mut self, depth: usize) -> Relation {
        let input = self.relation(depth - 1);
        let Some(key) = input.key.clone() else {
            return input;
        };
        let table = self.name("w");
        let key: Vec<String> = key.iter().map(|name| format!("{table}.{name}")).collect();
        let order = self.order(&key);
        let by: Vec<String> = input
            .of_kind(|kind| matches!(kind, Kind::Int | Kind::Text))
            .into_iter()
            .map(|column| format!("{table}.{}", column.name))
            .collect();
        let partition = match by.is_empty() || self.random.one_in(3) {
            true => String::new(),
            false => format!("PARTITION BY {} ", self.random.of(&by)),
        };
        let of = self.random.of(&input.columns).clone();
        let of_name = format!("{table}.{}", of.name);
        let (function, frame, kind) = match (self.random.below(4), of.kind) {
            (0, _) => ("row_number()".to_owned(), "", Kind::Int),
            (1, Kind::Int) => {
                let frame = " ROWS BETWEEN 2 PRECEDING AND CURRENT ROW";
                (format!("sum({of_name})"), frame, Kind::Int)
            }
            (2, kind) => (format!("first_value({of_name})"), "", kind),
            (_, kind) => (format!("lag({of_name}, 1)"), "", kind),
        };
        let name = self.name("c");
        let mut columns = input.columns;
        let sql = format!(
            "SELECT {table}.*, {function} OVER ({partition}ORDER BY {order}{frame}) AS {name} \
             FROM ({}) AS {table}",
            input.sql
        );
        columns.push(Column {
            name,
            origin: "window".to_owned(),
            kind,
        });
        Relation {
            sql,
            columns,
            key: input.key,
            rows: input.rows,
        }
    }

    fn set_operation(&mut self, depth: usize) -> Relation {
        let [left, right] = [self.relation(depth - 1), self.relation(0)];
        let mut free: Vec<&Column> = right.columns.iter().collect();
        let mut taken = Vec::new();
        for column in &left.columns {
            let like = free.iter().position(|other| other.kind == column.kind);
            // Of other origins, lists may hold other things.
            let like =
                like.filter(|at| column.kind != Kind::List || free[*at].origin == column.origin);
            if let Some(at) = like {
                taken.push((column.clone(), free.remove(at).clone()));
            }
        }
        if taken.is_empty() {
            return left;
        }
        let operation = self.random.of(&[
            "UNION ALL",
            "UNION ALL",
            "UNION ALL",
            "UNION",
            "INTERSECT",
            "EXCEPT",
        ]);
        let [a, b] = [self.name("u"), self.name("u")];
        let of_left: Vec<&str> = taken.iter().map(|(of, _)| of.name.as_str()).collect();
        let of_right: Vec<&str> = taken.iter().map(|(_, of)| of.name.as_str()).collect();
        Relation {
            sql: format!(
                "SELECT {} FROM ({}) AS {a} {operation} SELECT {} FROM ({}) AS {b}",
                of_left.join(", "),
                left.sql,
                of_right.join(", "),
                right.sql
            ),
            columns: taken.into_iter().map(|(of, _)| of).collect(),
            key: None,
            rows: left.rows + right.rows,
        }
    }

    fn limit(&mut self, depth: usize) -> Relation {
        let input = self.relation(depth - 1);
        let table = self.name("o");
        let order = self.order(&input.total());
        let limit = 1 + self.random.below(60);
        let offset = match self.random.one_in(3) {
            true => format!(" OFFSET {}", self.random.below(10)),
            false => String::new(),
        };
        Relation {
            sql: format!(
                "SELECT * FROM ({}) AS {table} ORDER BY {order} LIMIT {limit}{offset}",
                input.sql
            ),
            rows: limit.min(input.rows),
            ..input
        }
    }

    fn filter(&mut self, depth: usize) -> Relation {
        let input = self.relation(depth - 1);
        let table = self.name("f");
        let other = self.relation(0);
        let pairs = self.pairs(&input, &other);
        let inner = self.name("s");
        let condition = match (self.random.below(6), pairs.first()) {
            (0, Some((of, with))) => {
                format!(
                    "{table}.{} IN (SELECT {} FROM ({}) AS {inner})",
                    of.name, with.name, other.sql
                )
            }
            (1, Some((of, with))) => {
                format!(
                    "{table}.{} NOT IN (SELECT {} FROM ({}) AS {inner})",
                    of.name, with.name, other.sql
                )
            }
            (2, Some((of, with))) => format!(
                "EXISTS (SELECT 1 FROM ({}) AS {inner} WHERE {inner}.{} = {table}.{})",
                other.sql, with.name, of.name
            ),
            (3, Some((of, with))) => format!(
                "NOT EXISTS (SELECT 1 FROM ({}) AS {inner} WHERE {inner}.{} = {table}.{})",
                other.sql, with.name, of.name
            ),
            (4, Some((of, with))) => format!(
                "{table}.{} >= (SELECT min({}) FROM ({}) AS {inner})",
                of.name, with.name, other.sql
            ),
            _ => self.predicate(&input.columns),
        };
        Relation {
            sql: format!("SELECT * FROM ({}) AS {table} WHERE {condition}", input.sql),
            ..input
        }
    }

    /// A relation that is named once and read twice.
    fn with(&mut self, depth: usize) -> Relation {
        let input = self.relation(depth - 1);
        let (Some(key), true) = (input.key.clone(), input.rows <= 600) else {
            return input;
        };
        let [name, a, b] = [self.name("x"), self.name("l"), self.name("r")];
        let on: Vec<String> = key
            .iter()
            .map(|key| format!("{a}.{key} = {b}.{key}"))
            .collect();
        let again = self.random.of(&input.columns).clone();
        let added = self.name("c");
        let kind = self.random.of(&["INNER", "LEFT", "FULL"]);
        let mut columns = input.columns;
        let sql = format!(
            "WITH {name} AS ({}) SELECT {a}.*, {b}.{} AS {added} FROM {name} AS {a} {kind} JOIN \
             (SELECT * FROM {name} WHERE {}) AS {b} ON {}",
            input.sql,
            again.name,
            self.predicate(&columns),
            on.join(" AND ")
        );
        columns.push(Column {
            name: added,
            ..again
        });
        Relation {
            sql,
            columns,
            // A row without a partner may have nothing but nulls.
            key: None,
            rows: input.rows,
        }
    }

    fn project(&mut self, depth: usize) -> Relation {
        let input = self.relation(depth - 1);
        let table = self.name("p");
        let mut columns = Vec::new();
        let mut selected = Vec::new();
        for column in &input.columns {
            let of = format!("{table}.{}", column.name);
            let is_key = input.key.iter().flatten().any(|key| *key == column.name);
            let (expression, kind) = match column.kind {
                _ if is_key || self.random.one_in(2) => {
                    selected.push(of);
                    columns.push(column.clone());
                    continue;
                }
                Kind::Int => (format!("{of} * 2 + 1"), Kind::Int),
                Kind::Float => (format!("coalesce({of}, -1.0)"), Kind::Float),
                Kind::Text => (format!("upper({of})"), Kind::Text),
                Kind::Bool => (format!("NOT {of}"), Kind::Bool),
                Kind::List => (format!("array_length({of})"), Kind::Int),
            };
            let name = self.name("c");
            selected.push(format!("{expression} AS {name}"));
            columns.push(Column {
                name,
                origin: "expression".to_owned(),
                kind,
            });
        }
        Relation {
            sql: format!(
                "SELECT {} FROM ({}) AS {table}",
                selected.join(", "),
                input.sql
            ),
            columns,
            ..input
        }
    }
}

/// The columns that tell the rows of a join apart: those of one side are null where it has no row.
fn both_keys(left: &Relation, right: &Relation) -> Option<Vec<String>> {
    Some([left.key.clone()?, right.key.clone()?].concat())
}
