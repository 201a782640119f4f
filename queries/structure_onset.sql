-- When neurons began to take part in an output: of the neurons whose activations go with a class at
-- an epoch more than chance explains, the first epoch from which they did so at every epoch up to it.
--
-- Parameters:
--   epoch Int32 = last: the epoch that is looked at; those before it decide when a neuron began
--   class Int32 = NULL: this class alone; `all` is understood
--   layer Utf8 = NULL: neurons of this layer alone
--   top Int32 = 5: so many neurons of each class, the strongest; `all` is understood
--   sign Utf8 = positive: `positive` for neurons that are more active with the class, `negative` for
--       those that are less, `any` for both
--   percent Int32 = 5: p-values below this count as found
--   measure Utf8 = correlation: what `score` is, as in structure_scores
--   permutations Int32 = 199: how many permutations p-values are made of
--   half Utf8 = all: the samples that are looked at, as in structure_scores
--   seed Int64 = 42: of permutations and halves
--
-- Columns:
--   class Int32: the class that the network predicts
--   rank Int32: 1 for the strongest of the class
--   layer Utf8: where: the neuron's layer
--   neuron Int32: the neuron's id across the network
--   first_epoch Int32: when it began
--   last_epoch Int32: the epoch that is looked at
--   score Float32: at that epoch
--   p_value Float32: at that epoch, corrected as in structure_scores
SELECT class, rank, layer, neuron, first_epoch, last_epoch, score, p_value
FROM (
    SELECT
        class, layer, neuron, first_epoch, epoch AS last_epoch, score, p_value,
        CAST(row_number() OVER (PARTITION BY class ORDER BY rank) AS INT) AS rank
    FROM (
        SELECT
            *,
            -- From the first capture on that comes after the last one at which it was not found.
            min(CASE WHEN lost IS NULL OR step > lost THEN epoch END)
                OVER (PARTITION BY class, neuron) AS first_epoch
        FROM (
            SELECT
                epoch, step, layer, neuron, class, rank, score, p_value, correlation,
                max(CASE WHEN p_value < $percent / 100.0 THEN NULL ELSE step END)
                    OVER (PARTITION BY class, neuron) AS lost,
                max(step) OVER () AS last_step
            FROM structure_scores($layer, $measure, $permutations, $half, $seed)
            WHERE ($epoch IS NULL OR epoch <= $epoch) AND ($class IS NULL OR class = $class)
        )
    )
    WHERE step = last_step
        -- An epoch that was not captured has no neurons, nor those of the one before it.
        AND ($epoch IS NULL OR epoch = $epoch)
        AND p_value < $percent / 100.0
        AND (
            $sign = 'any'
            OR $sign = 'positive' AND correlation > 0
            OR $sign = 'negative' AND correlation < 0
        )
)
WHERE $top IS NULL OR rank <= $top
ORDER BY class, rank
