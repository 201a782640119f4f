-- Each neuron's incoming weights, averaged element by element over all epochs and filled up with
-- 0.0 to one width.
--
-- Parameters:
--   layer Utf8{<layer or glob>,first,last,all} = NULL: this layer alone
--   width Int64{0..16777216,auto} = auto: length of the padded lists; `auto` is the largest fan-in
--       that was recorded
--
-- Columns:
--   neuron Int32: the neuron's id across the network
--   layer Utf8: its layer
--   weights List(Float32): the average of its incoming weights, padded

-- A neuron's rows have one length: padding the average gives what averaging padded rows would.
SELECT neuron, layer, pad(vec_mean(weights), $width) AS weights
FROM weights
WHERE $layer IS NULL OR layer = ANY($layer)
GROUP BY neuron, layer
ORDER BY neuron
