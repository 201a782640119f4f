-- The rows of `padded` of one layer.
--
-- Parameters:
--   layer Utf8{<layer or glob>,first,last} = first: the layer
--   epoch Int32{<epoch>,first,last,all} = NULL: this epoch alone
--   width Int64{0..16777216,auto} = auto: length of the padded lists; `auto` is the largest fan-in
--       that was recorded
--
-- Columns:
--   epoch Int32: the epoch
--   layer Utf8: the layer
--   neuron Int32: the neuron's id across the network
--   weights List(Float32): its incoming weights, padded
--   final_classification_result Float32: first output of held-out sample 0 at that epoch; null
--       where classifications were not recorded
SELECT w.epoch, w.layer, w.neuron, pad(w.weights, $width) AS weights, c.final_classification_result
FROM weights AS w
LEFT JOIN (
    SELECT epoch, step, outputs[1] AS final_classification_result
    FROM classifications
    WHERE phase = 'eval' AND sample = 0
) AS c ON c.epoch = w.epoch AND c.step = w.step
WHERE w.layer = ANY($layer) AND ($epoch IS NULL OR w.epoch = $epoch)
ORDER BY w.epoch, w.step, w.neuron
