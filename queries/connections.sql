-- Every weight at every epoch, with the input or the neuron that it comes from. There are no rows
-- for padding or for biases.
--
-- Parameters:
--   epoch Int32{<epoch>,first,last,all} = NULL: this epoch alone
--   layer Utf8{<layer or glob>,first,last,all} = NULL: this layer alone
--   neuron Int32{<neuron>,all} = NULL: the connections into this neuron alone
--
-- Columns:
--   epoch Int32: the epoch
--   layer Utf8: the layer of the neuron that the connection leads to
--   neuron Int32: the neuron that it leads to
--   position Int32: its place among the neuron's weights, from 0
--   source Utf8: where it comes from: `input_3`, `n_7`; null where that is not known
--   source_input Int32: the input that it comes from, from 0
--   source_neuron Int32: the neuron that it comes from
--   weight Float32: its strength
SELECT epoch, layer, neuron, position, source, source_input, source_neuron, weight
FROM connections()
WHERE ($epoch IS NULL OR epoch = $epoch)
    AND ($layer IS NULL OR layer = ANY($layer))
    AND ($neuron IS NULL OR neuron = $neuron)
ORDER BY epoch, step, neuron, position
