-- The rows of `padded`, followed by one average over all epochs a layer and neuron.
--
-- Parameters:
--   layer Utf8{<layer or glob>,first,last,all} = NULL: this layer alone
--   width Int64{0..16777216,auto} = auto: length of the padded lists; `auto` is the largest fan-in
--       that was recorded
--
-- Columns:
--   kind Utf8: `epoch` for a row of `padded`, `Epoch_average` for an average
--   epoch Int32: the epoch; null for an average
--   layer Utf8: the neuron's layer
--   neuron Int32: the neuron's id across the network
--   weights List(Float32): its incoming weights, padded, or their average
--   final_classification_result Float32: first output of held-out sample 0 at that epoch; null for
--       an average, and where classifications were not recorded
SELECT kind, epoch, layer, neuron, weights, final_classification_result
FROM (
    SELECT
        'epoch' AS kind, w.epoch, w.step, w.layer, w.neuron,
        pad(w.weights, $width) AS weights, c.final_classification_result
    FROM weights AS w
    LEFT JOIN (
        SELECT epoch, step, outputs[1] AS final_classification_result
        FROM classifications
        WHERE phase = 'eval' AND sample = 0
    ) AS c ON c.epoch = w.epoch AND c.step = w.step
    WHERE $layer IS NULL OR w.layer = ANY($layer)
    UNION ALL
    SELECT
        'Epoch_average' AS kind, CAST(NULL AS INT) AS epoch, CAST(NULL AS BIGINT) AS step, layer,
        neuron, pad(vec_mean(weights), $width) AS weights,
        CAST(NULL AS REAL) AS final_classification_result
    FROM weights
    WHERE $layer IS NULL OR layer = ANY($layer)
    GROUP BY layer, neuron
)
-- In the order of their bytes, 'epoch' comes after 'Epoch_average'.
ORDER BY kind DESC, epoch, step, neuron
