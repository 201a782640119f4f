-- The pairs of neurons whose activations on the held-out samples are correlated the most: neurons
-- that fire together, and neurons of which one fires where the other does not. Of each epoch the
-- pairs with the largest correlation by its amount, largest first.
--
-- Parameters:
--   epoch Int32{<epoch>,first,last,all} = last: this epoch alone; in SQL `all` by default
--   top Int64{1..1000000} = 20: how many pairs of an epoch
--   layer Utf8{<layer or glob>,first,last,all} = NULL: neurons of this layer alone
--
-- Columns:
--   epoch Int32: the epoch
--   neuron_a Int32: a neuron
--   neuron_b Int32: another, of a higher id
--   layer_a Utf8: the layer of the one
--   layer_b Utf8: the layer of the other
--   correlation Float64: Pearson's correlation over the samples whose values were kept; null where a
--       neuron is constant or not finite, and then the pair comes after all others
SELECT epoch, neuron_a, neuron_b, layer_a, layer_b, correlation
FROM raw_coactivation($top, $layer)
WHERE $epoch IS NULL OR epoch = $epoch
ORDER BY epoch, step, rank
