-- Neurons that change class: where the class that a neuron is most active with is another one than at
-- the epoch before at which it had one. A neuron has a class where its activation goes with one more
-- than chance explains.
--
-- Parameters:
--   layer Utf8{<layer or glob>,first,last,all} = NULL: neurons of this layer alone, and p-values
--       among them
--   percent Float64{0..100} = 5: p-values below this count as found
--   permutations Int32{0..1000000} = 199: how many permutations p-values are made of
--   half Utf8{all,first,second} = all: the samples that are looked at, as in structure_scores
--   seed Int64{0..} = 42: of permutations and halves
--
-- Columns:
--   epoch Int32: the epoch from which it has the new class
--   layer Utf8: the neuron's layer
--   neuron Int32: the neuron's id across the network
--   previous_class Int32: the class that it was most active with before
--   class Int32: the class that it is most active with now
--   correlation Float32: with the prediction of the new class
--   p_value Float32: of that, corrected as in structure_scores
SELECT epoch, layer, neuron, previous_class, class, correlation, p_value
FROM (
    SELECT
        epoch, step, layer, neuron, class, correlation, p_value,
        lag(class) OVER (PARTITION BY neuron ORDER BY epoch, step) AS previous_class
    FROM (
        SELECT
            epoch, step, layer, neuron, class, correlation, p_value,
            row_number() OVER (
                PARTITION BY epoch, step, neuron ORDER BY correlation DESC, class
            ) AS place
        FROM raw_structure_scores($layer, 'correlation', $permutations, $half, $seed)
        WHERE correlation > 0 AND p_value < CAST($percent / 100.0 AS REAL)
    )
    WHERE place = 1
)
WHERE previous_class <> class
ORDER BY epoch, step, neuron
