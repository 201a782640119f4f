-- Each neuron's activations of the held-out samples, averaged sample by sample over all epochs.
-- This is `by_neuron` of what neurons do, in place of what they are connected by.
--
-- Parameters:
--   layer Utf8{<layer or glob>,first,last,all} = NULL: this layer alone
--
-- Columns:
--   neuron Int32: the neuron's id across the network
--   layer Utf8: its layer
--   activations List(Float32): the average of its activations of held-out samples 0, 1, ...; null
--       where only statistics were recorded
SELECT neuron, layer, vec_mean(activations) AS activations
FROM activations
WHERE phase = 'eval' AND ($layer IS NULL OR layer = ANY($layer))
GROUP BY neuron, layer
ORDER BY neuron
