"""The same questions of a run, by each engine in its own words, and whether the answers agree."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

#: How far values may be apart: engines add 32-bit floats in other orders and widths.
RELATIVE, ABSOLUTE = 1e-4, 1e-5
#: How many values are held against each other at once.
PIECE = 1 << 22
#: Of at most so many weights a capture, averages by element are also asked for by a row of each.
MOST_AS_ROWS = 1 << 20
TYPES = {"epoch": "INTEGER", "layer": "VARCHAR"}


@dataclass(frozen=True)
class Question:
    """What is asked, and the columns that tell the answer's rows apart.

    `ours` is SQL for this project's engine. `duckdb` and `polars` are ways to ask them, of which the quickest counts:
    SQL, and functions from the lazy frame of the weights to that of the answer, with the engine that collects it.
    """

    name: str
    keys: tuple
    ours: str
    duckdb: tuple
    polars: tuple = ()
    #: How many times as long DuckDB has to take.
    at_least: float = 1.0


def questions(size):
    """The questions, of a run of this size. Ways that make a row of each weight are not of large networks, for which
    they would need more memory than most machines have."""
    makes_rows = size.weights <= MOST_AS_ROWS
    width, neuron, layer, epoch = size.width, size.neuron, size.layer, size.epoch
    of_rows = f"""
        SELECT layer, neuron, list_resize(list(mean ORDER BY i), {width}, 0) AS weights
        FROM (
            SELECT layer, neuron, i, avg(w)::FLOAT AS mean
            FROM (SELECT layer, neuron, unnest(weights) AS w, generate_subscripts(weights, 1) AS i FROM weights)
            GROUP BY layer, neuron, i
        ) GROUP BY layer, neuron"""
    of_lists = f"""
        SELECT layer, neuron, list_resize(list_transform(range(1, len(lists[1]) + 1),
            lambda i: list_avg(list_transform(lists, lambda l: l[i]))::FLOAT), {width}, 0) AS weights
        FROM (SELECT layer, neuron, list(weights) AS lists FROM weights GROUP BY layer, neuron)"""
    by_neuron = (of_lists, of_rows) if makes_rows else (of_lists,)
    drift = """
        SELECT epoch, layer, neuron,
            list_distance(weights, before)::FLOAT AS l2_previous, list_distance(weights, first)::FLOAT AS l2_first,
            list_cosine_similarity(weights, before)::FLOAT AS cosine_previous,
            list_cosine_similarity(weights, first)::FLOAT AS cosine_first
        FROM ({}) ORDER BY epoch, neuron"""
    windows = """
        SELECT epoch, layer, neuron, weights, lag(weights) OVER of_neuron AS before,
            first_value(weights) OVER of_neuron AS first
        FROM weights WINDOW of_neuron AS (PARTITION BY neuron ORDER BY epoch)"""
    joins = """
        SELECT w.epoch, w.layer, w.neuron, w.weights, b.weights AS before, f.weights AS first
        FROM weights AS w
        JOIN weights AS f ON f.neuron = w.neuron AND f.epoch = 0
        LEFT JOIN weights AS b ON b.neuron = w.neuron AND b.epoch = w.epoch - 1"""
    epoch_average = """
        SELECT * FROM (
            SELECT 'epoch' AS kind, epoch, layer, neuron, list_resize(weights, {}, 0) AS weights FROM weights
            UNION ALL SELECT 'Epoch_average', NULL, layer, neuron, weights FROM ({})
        ) ORDER BY kind DESC, epoch, neuron"""
    norms = "SELECT epoch, layer, neuron, sqrt({}) AS norm FROM weights"
    return (
        Question(
            "by_neuron",
            ("layer", "neuron"),
            "SELECT layer, neuron, weights FROM by_neuron",
            tuple(f"{means} ORDER BY neuron" for means in by_neuron),
            ((lambda frame: polars_by_neuron(frame, width), "streaming"),) if makes_rows else (),
            10.0,
        ),
        Question(
            "weight_drift",
            ("epoch", "layer", "neuron"),
            "SELECT * FROM weight_drift",
            tuple(drift.format(rows) for rows in (windows, joins)),
            ((polars_drift, "streaming"),),
            3.0,
        ),
        Question(
            "epoch_average",
            ("kind", "epoch", "layer", "neuron"),
            "SELECT kind, epoch, layer, neuron, weights FROM epoch_average",
            tuple(epoch_average.format(width, means) for means in by_neuron),
            ((lambda frame: polars_epoch_average(frame, width), "streaming"),) if makes_rows else (),
            3.0,
        ),
        Question(
            "norm of every list",
            ("epoch", "layer", "neuron"),
            "SELECT epoch, layer, neuron, vec_norm(weights) AS norm FROM weights",
            (
                norms.format("list_inner_product(weights, weights)"),
                norms.format("list_sum(list_transform(weights, lambda w: w * w))"),
            ),
            polars_norms(),
            3.0,
        ),
        Question(
            "one neuron's history",
            ("epoch",),
            *of_both(f"SELECT epoch, weights FROM weights WHERE neuron = {neuron} ORDER BY epoch"),
            with_both(lambda frame: history(frame, neuron)),
        ),
        Question(
            "one layer, one epoch",
            ("neuron",),
            *of_both(f"SELECT neuron, weights FROM weights WHERE layer = '{layer}' AND epoch = {epoch}"),
            with_both(lambda frame: one_layer(frame, layer, epoch)),
        ),
        Question(
            "avg(weight_l2) by epoch and layer",
            ("epoch", "layer"),
            *of_both("SELECT epoch, layer, avg(weight_l2) AS mean FROM weights GROUP BY epoch, layer"),
            with_both(average),
        ),
        Question("count(*)", (), *of_both("SELECT count(*) AS n FROM weights"), with_both(count)),
        Question(
            "every weight, into memory",
            ("epoch", "layer", "neuron"),
            *of_both("SELECT epoch, layer, neuron, weights FROM weights"),
            with_both(lambda frame: frame.select("epoch", "layer", "neuron", "weights")),
        ),
    )


#: Questions that are not of the table that the targets are about.
UNTARGETED = ("every weight, into memory",)


def of_both(sql):
    return sql, (sql,)


def with_both(ask):
    return (ask, "streaming"), (ask, "in-memory")


def polars_by_neuron(frame, width):
    import polars as pl

    weights = pl.col("weights")
    means = (
        frame.select("layer", "neuron", weights, i=pl.int_ranges(0, weights.list.len(), dtype=pl.Int32))
        .explode("weights", "i")
        .group_by("layer", "neuron", "i")
        .agg(weights.cast(pl.Float64).mean().cast(pl.Float32))
        .sort("neuron", "i")
        .group_by("layer", "neuron", maintain_order=True)
        .agg(weights)
    )
    return means.with_columns(polars_pad(width))


def polars_pad(width):
    import polars as pl

    weights = pl.col("weights")
    zeros = pl.lit(0.0, pl.Float32).repeat_by(width - weights.list.len())
    return pl.concat_list(weights, zeros).alias("weights")


def polars_epoch_average(frame, width):
    import polars as pl

    rows = frame.select(pl.lit("epoch").alias("kind"), "epoch", "layer", "neuron", polars_pad(width))
    averages = polars_by_neuron(frame, width).select(
        pl.lit("Epoch_average").alias("kind"), pl.lit(None, pl.Int32).alias("epoch"), "layer", "neuron", "weights"
    )
    return pl.concat([rows.sort("epoch", "neuron"), averages])


def polars_drift(frame):
    import polars as pl

    def dot(one, other):
        return (pl.col(one) * pl.col(other)).list.sum()

    def distance(one, other):
        between = pl.col(one) - pl.col(other)
        return (between * between).list.sum().sqrt()

    def cosine(one, other):
        return dot(one, other) / (dot(one, one) * dot(other, other)).sqrt()

    of_neuron = {"partition_by": "neuron", "order_by": "epoch"}
    weights = pl.col("weights")
    both = frame.select(
        "epoch",
        "layer",
        "neuron",
        "weights",
        before=weights.shift(1).over(**of_neuron),
        first=weights.first().over(**of_neuron),
    )
    return both.select(
        "epoch",
        "layer",
        "neuron",
        # The sum of an absent list is 0 in polars.
        l2_previous=pl.when(pl.col("before").is_not_null()).then(distance("weights", "before")),
        l2_first=distance("weights", "first"),
        cosine_previous=pl.when(pl.col("before").is_not_null()).then(cosine("weights", "before")),
        cosine_first=cosine("weights", "first"),
    ).sort("epoch", "neuron")


def polars_norms():
    import polars as pl

    weights = pl.col("weights")
    squares = (
        (weights * weights).list.sum(),
        weights.list.agg(pl.element().pow(2).sum()),
    )
    return tuple(
        (lambda frame, square=square: frame.select("epoch", "layer", "neuron", norm=square.sqrt()), "streaming")
        for square in squares
    )


def history(frame, neuron):
    import polars as pl

    return frame.filter(pl.col("neuron") == neuron).select("epoch", "weights").sort("epoch")


def one_layer(frame, layer, epoch):
    import polars as pl

    return frame.filter((pl.col("layer") == layer) & (pl.col("epoch") == epoch)).select("neuron", "weights")


def average(frame):
    import polars as pl

    return frame.group_by("epoch", "layer").agg(mean=pl.col("weight_l2").mean())


def count(frame):
    import polars as pl

    return frame.select(pl.len().alias("n"))


class Ours:
    """This project's engine, in this process, with the run open."""

    name = "ours"

    def __init__(self, run):
        import stratigraph_nn

        self.run = stratigraph_nn.open(run)

    def ways(self, question):
        return (lambda: self.run.sql(question.ours).to_arrow(),)


class DuckDb:
    """DuckDB with all cores, the files' metadata kept, and no order kept that nobody asked for."""

    name = "DuckDB"

    def __init__(self, run, threads):
        import duckdb

        self.connection = duckdb.connect()
        self.connection.execute(f"SET threads = {threads}")
        self.connection.execute("SET preserve_insertion_order = false")
        self.connection.execute("SET parquet_metadata_cache = true")
        path = str(run).replace("'", "''")
        types = ", ".join(f"'{name}': {type_}" for name, type_ in TYPES.items())
        self.connection.execute(
            f"CREATE VIEW weights AS SELECT * FROM read_parquet('{path}/weights/**/*.parquet', "
            f"hive_partitioning = true, hive_types = {{{types}}})"
        )

    def ways(self, question):
        return tuple(lambda sql=sql: self.connection.sql(sql).to_arrow_table() for sql in question.duckdb)


class Polars:
    """polars, whose threads are all cores: a lazy frame of the table's directory, scanned once."""

    name = "polars"

    def __init__(self, run):
        import polars as pl

        schema = {"epoch": pl.Int32, "layer": pl.String}
        self.frame = pl.scan_parquet(f"{run}/weights/", hive_partitioning=True, hive_schema=schema)

    def ways(self, question):
        return tuple(
            lambda ask=ask, engine=engine: ask(self.frame).collect(engine=engine) for ask, engine in question.polars
        )


def engine(name, run, threads):
    """The engine of this name, with the run open."""
    return {"ours": lambda: Ours(run), "DuckDB": lambda: DuckDb(run, threads), "polars": lambda: Polars(run)}[name]()


def table(answer):
    return answer if isinstance(answer, pa.Table) else answer.to_arrow()


def check(question, who, answer, expected):
    """Raises an error unless both answers have the same rows, their values as near as sums of floats are."""
    answer, expected = table(answer), table(expected)
    where = f"{question.name}: {who}"
    if sorted(answer.column_names) != sorted(expected.column_names) or answer.num_rows != expected.num_rows:
        raise SystemExit(
            f"{where} has {answer.num_rows} rows of {answer.column_names}, ours {expected.num_rows} of "
            f"{expected.column_names}"
        )
    if question.keys:
        order = [(name, "ascending") for name in question.keys]
        answer, expected = (plain(rows, question.keys).sort_by(order) for rows in (answer, expected))
    for name in expected.column_names:
        one, other = answer[name], expected[name]
        if name in question.keys:
            is_same = one.equals(other)
        elif pa.types.is_list(other.type) or pa.types.is_large_list(other.type):
            lengths = (pc.list_value_length(column).to_numpy() for column in (one, other))
            is_same = np.array_equal(*lengths) and is_near(one, other)
        else:
            is_same = is_near(one, other)
        if not is_same:
            raise SystemExit(f"{where} has other values of {name} than ours")


def plain(rows, keys):
    """The keys as 64-bit numbers and strings, whatever types the engine chose."""
    for name in keys:
        column = rows[name].combine_chunks()
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        type_ = pa.int64() if pa.types.is_integer(column.type) else pa.string()
        rows = rows.set_column(rows.column_names.index(name), name, pa.chunked_array([column.cast(type_)]))
    return rows


def is_near(one, other):
    if one.null_count != other.null_count:
        return False
    one, other = numbers(one), numbers(other)
    # A piece at a time, since as 64-bit floats all of them take a multiple of the answer's memory.
    pieces = (slice(start, start + PIECE) for start in range(0, len(one), PIECE))
    return len(one) == len(other) and all(
        np.allclose(one[piece].astype(float), other[piece].astype(float), RELATIVE, ABSOLUTE, equal_nan=True)
        for piece in pieces
    )


def numbers(column):
    """The values of a column, those of lists one behind the other, absent ones as NaN."""
    column = column.combine_chunks()
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        column = column.flatten()
    return column.to_numpy(zero_copy_only=False)
