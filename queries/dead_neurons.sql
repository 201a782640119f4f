-- Neurons whose activation is 0 for every held-out sample, and since when. It is told by the
-- statistics of each neuron, so it covers all samples and needs no values to have been kept. A unit
-- that is never exactly 0, as of a sigmoid, cannot be dead in this sense.
--
-- Parameters:
--   epoch Int32{<epoch>,first,last,all} = NULL: those that are dead at this epoch alone
--   layer Utf8{<layer or glob>,first,last,all} = NULL: this layer alone
--
-- Columns:
--   epoch Int32: the epoch
--   layer Utf8: the neuron's layer
--   neuron Int32: the neuron's id across the network
--   since Int32: the first of the recorded epochs up to this one from which on it has been dead
SELECT epoch, layer, neuron, since
FROM (
    SELECT
        epoch, step, layer, neuron,
        min(epoch) OVER (PARTITION BY layer, neuron, num_alive) AS since
    FROM (
        SELECT
            epoch, step, layer, neuron, is_dead,
            -- Grows whenever the neuron is alive, and stays while it is dead.
            sum(CASE WHEN is_dead THEN 0 ELSE 1 END) OVER (
                PARTITION BY layer, neuron ORDER BY epoch, step
            ) AS num_alive
        FROM (
            SELECT epoch, step, layer, neuron, zeros = num_samples AS is_dead
            FROM activations
            WHERE phase = 'eval' AND num_samples > 0 AND ($layer IS NULL OR layer = ANY($layer))
        )
    )
    WHERE is_dead
)
WHERE $epoch IS NULL OR epoch = $epoch
ORDER BY epoch, step, neuron
