-- Every neuron's activations of the held-out samples at every epoch, followed by one average over
-- all epochs a layer and neuron. This is `epoch_average` of what neurons do, in place of what they
-- are connected by.
--
-- Parameters:
--   layer Utf8{<layer or glob>,first,last,all} = NULL: this layer alone
--
-- Columns:
--   kind Utf8: `epoch` for the activations of an epoch, `Epoch_average` for an average
--   epoch Int32: the epoch; null for an average
--   layer Utf8: the neuron's layer
--   neuron Int32: the neuron's id across the network
--   activations List(Float32): its activations of held-out samples 0, 1, ..., or their average;
--       null where only statistics were recorded
--   final_classification_result Float32: first output of held-out sample 0 at that epoch; null for
--       an average, and where classifications were not recorded
SELECT kind, epoch, layer, neuron, activations, final_classification_result
FROM (
    SELECT
        'epoch' AS kind, a.epoch, a.step, a.layer, a.neuron, a.activations,
        c.final_classification_result
    FROM activations AS a
    LEFT JOIN (
        SELECT epoch, step, outputs[1] AS final_classification_result
        FROM classifications
        WHERE phase = 'eval' AND sample = 0
    ) AS c ON c.epoch = a.epoch AND c.step = a.step
    WHERE a.phase = 'eval' AND ($layer IS NULL OR a.layer = ANY($layer))
    UNION ALL
    SELECT
        'Epoch_average' AS kind, CAST(NULL AS INT) AS epoch, CAST(NULL AS BIGINT) AS step, layer,
        neuron, vec_mean(activations) AS activations,
        CAST(NULL AS REAL) AS final_classification_result
    FROM activations
    WHERE phase = 'eval' AND ($layer IS NULL OR layer = ANY($layer))
    GROUP BY layer, neuron
)
-- In the order of their bytes, 'epoch' comes after 'Epoch_average'.
ORDER BY kind DESC, epoch, step, neuron
