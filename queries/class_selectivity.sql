-- What each neuron makes of the held-out samples of each class at every epoch, which class it
-- prefers, and how much. The index is that of Morcos, Barrett, Rabinowitz and Botvinick, "On the
-- importance of single directions for generalization" (ICLR 2018). Only samples whose activations
-- were kept (`recorder train --activation-samples`) count: a neuron of which only statistics were
-- kept has nulls. Epochs without classifications have no rows, nor have networks without classes.
--
-- Parameters:
--   epoch Int32{<epoch>,first,last,all} = NULL: this epoch alone
--   layer Utf8{<layer or glob>,first,last,all} = NULL: this layer alone
--   class Int32{<class or name>,all} = NULL: neurons that prefer this class alone
--   top Int64{1..,all} = NULL: so many of each epoch, those of the highest selectivity
--
-- Columns:
--   epoch Int32: the epoch
--   layer Utf8: the neuron's layer
--   neuron Int32: the neuron's id across the network
--   class_means List(Float32): mean activation over the held-out samples of class 0, 1, ..., up to
--       the highest that there are samples of; null for a class without
--   preferred_class Int32: the class of the highest mean, the lowest on a tie; null where all are
--       the same
--   mean_preferred Float64: the mean of the preferred class
--   mean_rest Float64: the mean of the other classes' means
--   selectivity Float64: (mean_preferred - mean_rest) / (mean_preferred + mean_rest): 0 where the
--       classes are the same to it, 1 where it is silent but for one; null where mean_rest is
--       negative, as it may be without a non-linearity, and where there is no preferred class
--   rank Int64: its rank by selectivity among the epoch's rows, from 1
SELECT
    epoch, layer, neuron, class_means, preferred_class, mean_preferred, mean_rest, selectivity, rank
FROM (
    SELECT
        *,
        CAST(
            row_number() OVER (
                -- Among those that prefer the class, if one is given.
                PARTITION BY epoch, step, preferred_class = $class
                ORDER BY selectivity DESC NULLS LAST, neuron
            ) AS BIGINT
        ) AS rank
    FROM (
        SELECT
            *,
            CASE
                WHEN mean_rest >= 0
                    THEN (mean_preferred - mean_rest) / (mean_preferred + mean_rest)
            END AS selectivity
        FROM (
            SELECT
                epoch, step, layer, neuron, class_means,
                CAST(CAST(array_position(class_means, highest) AS BIGINT) - 1 AS INT)
                    AS preferred_class,
                CAST(highest AS DOUBLE) AS mean_preferred,
                list_avg(array_remove(class_means, highest)) AS mean_rest
            FROM (
                SELECT
                    *,
                    CASE
                        WHEN array_max(class_means) > array_min(class_means)
                            THEN array_max(class_means)
                    END AS highest
                FROM (
                    SELECT
                        a.epoch, a.step, a.layer, a.neuron,
                        list_mean_by(a.activations, c.classes[1:a.num_kept]) AS class_means
                    FROM (
                        SELECT *, CAST(cardinality(activations) AS BIGINT) AS num_kept
                        FROM activations
                        WHERE phase = 'eval'
                            AND ($epoch IS NULL OR epoch = $epoch)
                            AND ($layer IS NULL OR layer = ANY($layer))
                    ) AS a
                    JOIN (
                        SELECT epoch, step, vec_collect(target ORDER BY sample) AS classes
                        FROM classifications
                        WHERE phase = 'eval' AND ($epoch IS NULL OR epoch = $epoch)
                        GROUP BY epoch, step
                        HAVING count(target) > 0
                    ) AS c ON c.epoch = a.epoch AND c.step = a.step
                )
            )
        )
    )
)
WHERE ($class IS NULL OR preferred_class = $class) AND ($top IS NULL OR rank <= $top)
ORDER BY epoch, step, rank
