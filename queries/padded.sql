-- Every neuron's incoming weights at every epoch, filled up with 0.0 to one width, beside what the
-- network made of the first held-out sample at that epoch.
--
-- Parameters:
--   epoch Int32{<epoch>,first,last,all} = NULL: this epoch alone
--   layer Utf8{<layer or glob>,first,last,all} = NULL: this layer alone
--   width Int64{0..16777216,auto} = auto: length of the padded lists; `auto` is the largest fan-in
--       that was recorded
--
-- Columns:
--   epoch Int32: the epoch
--   layer Utf8: the neuron's layer
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
WHERE ($epoch IS NULL OR w.epoch = $epoch) AND ($layer IS NULL OR w.layer = ANY($layer))
ORDER BY w.epoch, w.step, w.neuron
