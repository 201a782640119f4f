-- Each neuron's incoming weights, averaged element by element over all epochs and filled up with
-- 0.0 to one width.
--
-- Parameters:
--   layer Utf8 = NULL: this layer alone; `first` and `last` are understood
--   width Int64 = auto: length of the padded lists; `auto` is the largest fan-in that was recorded
--
-- Columns:
--   neuron Int32: the neuron's id across the network
--   layer Utf8: its layer
--   weights List(Float32): the average of its incoming weights, padded

-- A neuron's rows have one length: padding the average gives what averaging padded rows would.
SELECT neuron, layer, pad(vec_mean(weights), $width) AS weights
FROM weights
WHERE $layer IS NULL OR layer = $layer
GROUP BY neuron, layer
ORDER BY neuron
