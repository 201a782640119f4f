-- When neurons began to take part in an output: of the neurons whose activations go with a class at
-- an epoch more than chance explains, the first epoch from which they did so at every epoch up to it.
--
-- Parameters:
--   epoch Int32{<epoch>,first,last,all} = last: the epoch that is looked at, `last_epoch` of each row;
--       those before it decide when a neuron began; in SQL `all` by default
--   class Int32{<class or name>,all} = NULL: this class alone
--   layer Utf8{<layer or glob>,first,last,all} = NULL: neurons of this layer alone
--   top Int32{1..,all} = 5: so many neurons of each class at each epoch, the strongest
--   sign Utf8{positive,negative,any} = positive: `positive` for neurons that are more active with the
--       class, `negative` for those that are less, `any` for both
--   percent Float64{0..100} = 5: p-values below this count as found
--   measure Utf8{correlation,mutual_information,auc} = correlation: what `score` is, as in
--       structure_scores
--   permutations Int32{0..1000000} = 199: how many permutations p-values are made of
--   half Utf8{all,first,second} = all: the samples that are looked at, as in structure_scores
--   seed Int64{0..} = 42: of permutations and halves
--
-- Columns:
--   class Int32: the class that the network predicts
--   rank Int32: 1 for the strongest of the class at that epoch
--   layer Utf8: where: the neuron's layer
--   neuron Int32: the neuron's id across the network
--   first_epoch Int32: when it began
--   last_epoch Int32: the epoch that is looked at
--   score Float32: at that epoch
--   p_value Float32: at that epoch, corrected as in structure_scores
SELECT class, rank, layer, neuron, first_epoch, last_epoch, score, p_value
FROM (
    SELECT
        class, layer, neuron, first_epoch, epoch AS last_epoch, step, score, p_value,
        CAST(row_number() OVER (PARTITION BY epoch, step, class ORDER BY rank) AS INT) AS rank
    FROM (
        SELECT
            *,
            -- Of the captures in a row at which it was found, up to this one.
            min(epoch) OVER (PARTITION BY class, neuron, num_lost) AS first_epoch
        FROM (
            SELECT
                *,
                -- Grows whenever the neuron is not found, and stays while it is.
                sum(CASE WHEN is_found THEN 0 ELSE 1 END) OVER (
                    PARTITION BY class, neuron ORDER BY epoch, step
                ) AS num_lost
            FROM (
                SELECT
                    epoch, step, layer, neuron, class, rank, score, p_value, correlation,
                    p_value < CAST($percent / 100.0 AS REAL) AS is_found
                FROM raw_structure_scores($layer, $measure, $permutations, $half, $seed)
                WHERE ($epoch IS NULL OR epoch <= $epoch) AND ($class IS NULL OR class = $class)
            )
        )
        WHERE is_found
    )
    WHERE ($epoch IS NULL OR epoch = $epoch)
        AND (
            $sign = 'any'
            OR $sign = 'positive' AND correlation > 0
            OR $sign = 'negative' AND correlation < 0
        )
)
WHERE $top IS NULL OR rank <= $top
ORDER BY last_epoch, step, class, rank
