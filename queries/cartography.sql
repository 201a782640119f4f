-- How the network came to terms with each held-out sample over training: whether it is easy
-- (confidence high, variability low), hard (both low) or ambiguous (variability high). After
-- Swayamdipta et al., "Dataset Cartography: Mapping and Diagnosing Datasets with Training Dynamics"
-- (EMNLP 2020). Samples without a class have no rows.
--
-- Parameters:
--   class Int32{<class or name>,all} = NULL: samples of this class alone
--
-- Columns:
--   sample Int64: position in the held-out set, from 0
--   target Int32: its class
--   confidence Float64: probability of that class, on average over the epochs
--   variability Float64: standard deviation of that probability over the epochs, of the population
--   correctness Float64: share of the epochs at which the class was predicted
SELECT
    sample, target,
    avg(probability) AS confidence,
    stddev_pop(probability) AS variability,
    avg(CASE WHEN correct THEN 1.0 ELSE 0.0 END) AS correctness
FROM (
    SELECT
        sample, target, correct,
        -- The one output of a network with two classes is the probability of class 1.
        CASE
            WHEN cardinality(outputs) > 1 THEN CAST(outputs[target + 1] AS DOUBLE)
            WHEN target = 1 THEN CAST(outputs[1] AS DOUBLE)
            ELSE 1 - CAST(outputs[1] AS DOUBLE)
        END AS probability
    FROM classifications
    WHERE phase = 'eval' AND target IS NOT NULL AND ($class IS NULL OR target = $class)
)
GROUP BY sample, target
ORDER BY sample
