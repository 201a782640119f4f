-- What silencing neurons did to the class that they are said to go with, and to the others: an ablation
-- a row, of those that were made (`recorder ablate`). With several, some of their p-values are small by
-- chance, so they are corrected (Holm, "A simple sequentially rejective multiple test procedure", 1979)
-- for as many ablations as asked the same of other neurons: at one epoch, in one way, on the same
-- samples, with as many draws. A p-value is at least 1 / (1 + draws): ten classes at 0.05 take 199.
--
-- Parameters:
--   epoch Int32{<epoch>,first,last,all} = NULL: ablations of the network of this epoch alone
--   metric Utf8{accuracy,accuracy_gap,loss} = accuracy: what is measured; the gap is to the others
--
-- Columns:
--   epoch Int32: the epoch
--   of_class Int32: the class that the neurons are said to go with
--   name Utf8: the structure that was silenced; null where neurons were named
--   neurons Utf8: the silenced neurons, with commas between them
--   mode Utf8: what their value was: `zero`, `mean`, `scale` (by `factor`) or `set` (to `value`)
--   factor Float64: of `scale`; else null
--   value Float64: of `set`; else null
--   half Utf8: the held-out samples: `first` or `second` half, or `all`
--   draws Int64: how often as many random neurons of the same layers were silenced instead
--   num_samples Int64: samples of the class
--   before Float64: of the class, as the network was
--   after Float64: of the class, with the neurons silenced
--   random_mean Float64: of the class, with random neurons silenced: the mean over the draws
--   p_value Float64: the probability that random neurons do the class at least as much harm
--   p_holm Float64: the same, corrected
--   others_before Float64: of all other classes, as the network was; of `accuracy_gap` null
--   others_after Float64: of all other classes, with the neurons silenced
--   others_random_mean Float64: of all other classes, with random neurons silenced
--   others_p_value Float64: the probability that random neurons do them at least as much harm
--   seed Int64: of the draws, and of the half
--   num_tests Int64: for how many ablations with a p-value it is corrected
SELECT
    epoch, of_class, name, neurons, mode, factor, value, half, draws, num_samples,
    before, after, random_mean, p_value,
    CASE WHEN p_value IS NOT NULL THEN max(stepped) OVER (
        PARTITION BY epoch, step, mode, factor, value, half, seed, draws ORDER BY place
    ) END AS p_holm,
    others_before, others_after, others_random_mean, others_p_value, seed, num_tests
FROM (
    SELECT
        *,
        -- The smallest p-value counts as many times as there are, the next once less.
        CASE WHEN p_value * (num_tests - place + 1) < 1.0
            THEN p_value * (num_tests - place + 1) ELSE 1.0
        END AS stepped
    FROM (
        SELECT
            *,
            count(p_value) OVER (PARTITION BY epoch, step, mode, factor, value, half, seed, draws) AS num_tests,
            row_number() OVER (
                PARTITION BY epoch, step, mode, factor, value, half, seed, draws
                ORDER BY p_value NULLS LAST, of_class, ablation
            ) AS place
        FROM (
            SELECT
                own.epoch, own.step, own.ablation, own.of_class, own.name, own.neurons, own.mode, own.factor,
                own.value, own.half, own.seed, CAST(coalesce(array_length(own.random), 0) AS BIGINT) AS draws,
                own.num_samples, own.before, own.after, own.random_mean, own.p_value,
                others.before AS others_before, others.after AS others_after,
                others.random_mean AS others_random_mean, others.p_value AS others_p_value
            FROM ablations AS own
            LEFT JOIN ablations AS others
                ON others.ablation = own.ablation AND others.metric = own.metric AND others.samples = 'others'
            WHERE own.samples = 'class' AND own.class = own.of_class AND own.metric = $metric
                AND ($epoch IS NULL OR own.epoch = $epoch)
        )
    )
)
ORDER BY epoch, step, of_class, mode, factor, value, half, neurons, draws
