-- How each neuron's activation differs between the held-out samples that the network was right
-- about and those that it was wrong about, and how far apart these lie in each layer. Samples
-- without a prediction count on neither side, and only those whose activations were kept (`recorder
-- train --activation-samples`) count at all: a neuron of which only statistics were kept has nulls.
-- Epochs without classifications have no rows, nor have networks without classes.
--
-- Parameters:
--   epoch Int32{<epoch>,first,last,all} = NULL: this epoch alone
--   layer Utf8{<layer or glob>,first,last,all} = NULL: this layer alone
--
-- Columns:
--   epoch Int32: the epoch
--   layer Utf8: the neuron's layer
--   neuron Int32: the neuron's id across the network
--   num_correct Int64: how many samples the network was right about
--   num_incorrect Int64: how many it was wrong about
--   mean_correct Float64: mean activation over the former; null where there are none
--   mean_incorrect Float64: mean activation over the latter; null where there are none
--   cohens_d Float64: the difference of the means, in standard deviations pooled over both sides
--       (Cohen 1988; variances divided by n - 1); null where a side is empty or no activation
--       differs from its side's mean
--   layer_distance Float64: of all neurons of the layer, Euclidean distance of the vectors of their
--       mean_correct and of their mean_incorrect; null where a side is empty
SELECT
    epoch, layer, neuron, num_correct, num_incorrect, mean_correct, mean_incorrect,
    (mean_correct - mean_incorrect) / CASE
        WHEN std_correct > 0 OR std_incorrect > 0 THEN sqrt(
            (num_correct * power(std_correct, 2) + num_incorrect * power(std_incorrect, 2))
            / (num_correct + num_incorrect - 2)
        )
    END AS cohens_d,
    -- Added up in the neurons' order, so that the last digit is the same each time.
    sqrt(sum(power(mean_correct - mean_incorrect, 2)) OVER (
        PARTITION BY epoch, step, layer ORDER BY neuron
        ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
    )) AS layer_distance
FROM (
    SELECT
        epoch, step, layer, neuron,
        CAST(cardinality(when_correct) AS BIGINT) AS num_correct,
        CAST(cardinality(when_incorrect) AS BIGINT) AS num_incorrect,
        list_avg(when_correct) AS mean_correct,
        list_avg(when_incorrect) AS mean_incorrect,
        CAST(list_std(when_correct) AS DOUBLE) AS std_correct,
        CAST(list_std(when_incorrect) AS DOUBLE) AS std_incorrect
    FROM (
        SELECT
            a.epoch, a.step, a.layer, a.neuron,
            vec_filter(a.activations, c.correct[1:a.num_kept]) AS when_correct,
            vec_filter(a.activations, c.incorrect[1:a.num_kept]) AS when_incorrect
        FROM (
            SELECT *, CAST(cardinality(activations) AS BIGINT) AS num_kept
            FROM activations
            WHERE phase = 'eval'
                AND ($epoch IS NULL OR epoch = $epoch)
                AND ($layer IS NULL OR layer = ANY($layer))
        ) AS a
        JOIN (
            SELECT
                epoch, step,
                vec_collect(correct ORDER BY sample) AS correct,
                vec_collect(NOT correct ORDER BY sample) AS incorrect
            FROM classifications
            WHERE phase = 'eval' AND ($epoch IS NULL OR epoch = $epoch)
            GROUP BY epoch, step
            HAVING count(target) > 0
        ) AS c ON c.epoch = a.epoch AND c.step = a.step
    )
)
ORDER BY epoch, step, neuron
