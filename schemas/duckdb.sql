-- A run as DuckDB views, for DuckDB 1.5 and 2.0. Nothing but the run's own files is read, and nothing is copied.
--
-- In DuckDB's shell:
--     SET VARIABLE run = 'traces/digits';
--     .read schemas/duckdb.sql
--     SELECT layer, count(*) FROM weights GROUP BY layer;
-- From Python:
--     con.execute("SET VARIABLE run = 'traces/digits'")
--     con.execute(open("schemas/duckdb.sql").read())
--
-- The views read the variable when they are queried: set it again and they show another run. A view sees the finished
-- files of every capture, also while the run is being recorded; whole captures are told apart only by commits/.
-- DuckDB resolves a glob when it creates the view, so the tables that a run may lack come last.
--
-- Epoch and layer are taken from the end of a file's path: with hive_partitioning = true DuckDB would also take them from
-- directories above the run that are called so, as epoch=7/digits. A filter on either still decides which files are read.

-- A path below the run, as a glob: characters that mean something to a glob stand for themselves in the run's own path.
CREATE OR REPLACE MACRO run_path(below) AS
    regexp_replace(getvariable('run'), '([*?\[])', '[\1]', 'g') || '/' || below;

-- The epoch and the layer that a part file is of, from its path; a label is never read as a number or a date.
CREATE OR REPLACE MACRO path_epoch(path) AS
    regexp_extract(path, '/epoch=(-?[0-9]+)/(layer=[^/]*/)?[^/]*$', 1)::INTEGER;
CREATE OR REPLACE MACRO path_layer(path) AS
    url_decode(regexp_extract(path, '/layer=([^/]*)/[^/]*$', 1));

-- The network, from run.json: one row a layer, in the order in which the model visits them.
CREATE OR REPLACE VIEW layers AS
SELECT unnest(layers, max_depth := 2)
FROM read_json(
    run_path('run.json'),
    columns = {
        'layers': 'STRUCT(
            layer_index INTEGER,
            layer VARCHAR,
            module_path VARCHAR,
            kind VARCHAR,
            shape BIGINT[],
            fan_in BIGINT,
            num_units BIGINT,
            first_neuron INTEGER,
            activation VARCHAR,
            trainable BOOLEAN,
            source STRUCT("from" VARCHAR, start BIGINT, count BIGINT, stride BIGINT, repeat BIGINT)[]
        )[]'
    }
);

-- One row a neuron: its id across the model and its place in its layer.
CREATE OR REPLACE VIEW neurons AS
SELECT first_neuron + unit AS neuron, layer, layer_index, unit
FROM (SELECT layer, layer_index, first_neuron, unnest(range(num_units))::INTEGER AS unit FROM layers);

-- The list filled up with zeros to `width` elements, its type kept: an absent connection carries nothing.
CREATE OR REPLACE MACRO pad(list, width) AS
    CASE
        WHEN len(list) > width
        THEN error(format('pad: a list of {} is longer than the width {}', len(list), width))
        ELSE list_resize(list, width, 0)
    END;

CREATE OR REPLACE VIEW metrics AS
SELECT * EXCLUDE (filename), path_epoch(filename) AS epoch
FROM read_parquet(run_path('metrics/**/*.parquet'), hive_partitioning = false, filename = true);

CREATE OR REPLACE VIEW weights AS
SELECT * EXCLUDE (filename), path_epoch(filename) AS epoch, path_layer(filename) AS layer
FROM read_parquet(run_path('weights/**/*.parquet'), hive_partitioning = false, filename = true);

CREATE OR REPLACE VIEW classifications AS
SELECT * EXCLUDE (filename), path_epoch(filename) AS epoch
FROM read_parquet(run_path('classifications/**/*.parquet'), hive_partitioning = false, filename = true);

CREATE OR REPLACE VIEW activations AS
SELECT * EXCLUDE (filename), path_epoch(filename) AS epoch, path_layer(filename) AS layer
FROM read_parquet(run_path('activations/**/*.parquet'), hive_partitioning = false, filename = true);
