-- How steady the order of the neurons is: of each class, the ranks that structure_scores gives at an
-- epoch, against those at the epoch before.
--
-- Parameters:
--   class Int32{<class or name>,all} = NULL: this class alone
--   layer Utf8{<layer or glob>,first,last,all} = NULL: neurons of this layer alone, and ranks among them
--   top Int32{1..} = 5: how many of the strongest neurons `kept` looks at
--   measure Utf8{correlation,mutual_information,auc} = correlation: what ranks are by, as in
--       structure_scores
--   half Utf8{all,first,second} = all: the samples that are looked at, as in structure_scores
--   seed Int64{0..} = 42: of halves
--
-- Columns:
--   epoch Int32: the epoch
--   class Int32: the class that the network predicts
--   neurons Int64: how many neurons have a rank at both epochs
--   spearman Float32: the correlation of their ranks; null where there are less than two
--   kept Int64: how many of the `top` strongest neurons were among them at the epoch before
SELECT
    epoch, class, count(*) AS neurons,
    CAST(corr(place, previous_place) AS REAL) AS spearman,
    count(*) FILTER (WHERE rank <= $top AND previous <= $top) AS kept
FROM (
    SELECT
        *,
        -- Among those that have a rank at both epochs.
        CAST(row_number() OVER (PARTITION BY epoch, step, class ORDER BY rank) AS DOUBLE) AS place,
        CAST(row_number() OVER (PARTITION BY epoch, step, class ORDER BY previous) AS DOUBLE)
            AS previous_place
    FROM (
        SELECT
            epoch, step, class, rank,
            lag(rank) OVER (PARTITION BY class, neuron ORDER BY epoch, step) AS previous
        FROM raw_structure_scores($layer, $measure, 0, $half, $seed)
        WHERE $class IS NULL OR class = $class
    )
    WHERE rank IS NOT NULL AND previous IS NOT NULL
)
GROUP BY epoch, step, class
ORDER BY epoch, step, class
