-- What each layer is like at every epoch: how large its weights are, how far they spread, and how
-- much of it is silent on the held-out samples. It is told by the statistics of each neuron, so it
-- covers all samples and needs no values to have been kept.
--
-- Parameters:
--   epoch Int32{<epoch>,first,last,all} = NULL: this epoch alone
--   layer Utf8{<layer or glob>,first,last,all} = NULL: this layer alone
--
-- Columns:
--   epoch Int32: the epoch
--   layer Utf8: the layer
--   num_neurons Int64: how many of its neurons were recorded
--   norm Float64: Euclidean norm of all of its weights (Frobenius); null where weights were not
--       recorded
--   spread Float64: standard deviation of all of its weights, of the population; null where weights
--       were not recorded
--   sparsity Float64: share of its activations that are 0; null where activations were not recorded
--   dead_neurons Int64: how many of its neurons are 0 for every held-out sample; null where
--       activations were not recorded
SELECT
    p.epoch, p.layer, max(p.num_neurons) AS num_neurons, max(p.norm) AS norm,
    max(p.spread) AS spread, max(p.sparsity) AS sparsity, max(p.dead_neurons) AS dead_neurons
FROM (
    SELECT
        epoch, step, layer, count(*) AS num_neurons,
        sqrt(sum(power(CAST(weight_l2 AS DOUBLE), 2))) AS norm,
        -- The neurons of a layer have as many weights each: the variance of all is the mean of
        -- theirs and the variance of their means.
        sqrt(avg(power(CAST(weight_std AS DOUBLE), 2)) + var_pop(weight_mean)) AS spread,
        CAST(NULL AS DOUBLE) AS sparsity,
        CAST(NULL AS BIGINT) AS dead_neurons
    FROM weights
    WHERE ($epoch IS NULL OR epoch = $epoch) AND ($layer IS NULL OR layer = ANY($layer))
    GROUP BY epoch, step, layer
    UNION ALL
    SELECT
        epoch, step, layer, count(*) AS num_neurons,
        CAST(NULL AS DOUBLE) AS norm,
        CAST(NULL AS DOUBLE) AS spread,
        CAST(sum(zeros) AS DOUBLE) / nullif(sum(num_samples), 0) AS sparsity,
        count(*) FILTER (WHERE zeros = num_samples) AS dead_neurons
    FROM activations
    WHERE phase = 'eval'
        AND ($epoch IS NULL OR epoch = $epoch)
        AND ($layer IS NULL OR layer = ANY($layer))
    GROUP BY epoch, step, layer
) AS p
JOIN layers AS l ON l.layer = p.layer
GROUP BY p.epoch, p.step, l.layer_index, p.layer
ORDER BY p.epoch, p.step, l.layer_index
