-- How far each neuron's incoming weights moved at every epoch: from where they were at the recorded
-- epoch before, and from where they were first recorded. The bias is not counted.
--
-- Parameters:
--   epoch Int32{<epoch>,first,last,all} = NULL: this epoch alone
--   layer Utf8{<layer or glob>,first,last,all} = NULL: this layer alone
--
-- Columns:
--   epoch Int32: the epoch
--   layer Utf8: the neuron's layer
--   neuron Int32: the neuron's id across the network
--   l2_previous Float32: Euclidean distance from the recorded epoch before; null at the first
--   l2_first Float32: Euclidean distance from the first recorded weights
--   cosine_previous Float32: cosine of the angle between the weights and those of the recorded
--       epoch before; null at the first, and where either are all 0
--   cosine_first Float32: cosine of the angle between the weights and the first recorded ones; null
--       where either are all 0
SELECT
    epoch, layer, neuron,
    vec_l2_distance(weights, previous_weights) AS l2_previous,
    vec_l2_distance(weights, first_weights) AS l2_first,
    vec_cosine(weights, previous_weights) AS cosine_previous,
    vec_cosine(weights, first_weights) AS cosine_first
FROM successive_weights()
WHERE ($epoch IS NULL OR epoch = $epoch) AND ($layer IS NULL OR layer = ANY($layer))
ORDER BY epoch, step, neuron
