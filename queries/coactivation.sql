-- The pairs of neurons whose activations on the held-out samples are correlated the most: neurons
-- that fire together, and neurons of which one fires where the other does not. Of each epoch the
-- pairs with the largest correlation by its amount, largest first.
--
-- Parameters:
--   epoch Int32 = last: this epoch alone; `first`, `last` and `all` are understood
--   top Int64 = 20: how many pairs of an epoch
--   layer Utf8 = NULL: neurons of this layer alone; `first` and `last` are understood
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
FROM coactivation($top, $layer)
WHERE $epoch IS NULL OR epoch = $epoch
ORDER BY epoch, step, rank
