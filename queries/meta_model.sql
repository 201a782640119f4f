-- What neurons tell of whether the network is right: two models of it, fitted to the neurons'
-- activations and judged on held-out samples that they were not fitted to, by five-fold
-- cross-validation, and how much each neuron matters to them. The output layer is left out, so are
-- neurons whose activations are not finite, and captures at which the network is right, or wrong,
-- about fewer than five samples.
--
-- Parameters:
--   epoch Int32{<epoch>,first,last,all} = last: this epoch alone; in SQL `all` by default
--   layer Utf8{<layer or glob>,first,last,all} = NULL: learn from this layer's neurons alone
--   top Int32{1..,all} = 20: so many neurons of each epoch, the most important ones
--   trees Int32{1..10000} = 100: trees of the random forest
--   seed Int64{0..} = 42: of the forest and of what is shuffled
--
-- Columns:
--   epoch Int32: the epoch
--   layer Utf8: the neuron's layer
--   neuron Int32: the neuron's id across the network
--   importance Float32: by how much the forest's AUC falls where the neuron's activations are shuffled
--       among the samples that it was not fitted to, the mean over the folds
--   importance_std Float32: its standard deviation over the folds
--   coefficient Float32: the neuron's weight in the logistic regression, whose activations are
--       standardised: positive where it speaks for a sample that the network is right about
--   forest_auc Float32: probability that the forest puts a sample that the network is right about above
--       one that it is wrong about, the mean over the folds; by chance 0.5
--   forest_auc_std Float32: its standard deviation over the folds
--   linear_auc Float32: likewise, of the logistic regression
--   linear_auc_std Float32: its standard deviation over the folds
--   confidence_auc Float32: likewise, of the network's own confidence, which is fitted to nothing; null
--       where there is no confidence
--   samples Int64: samples that were looked at
--   mistakes Int64: those of them that the network is wrong about
SELECT
    epoch, layer, neuron, importance, importance_std, coefficient, forest_auc, forest_auc_std,
    linear_auc, linear_auc_std, confidence_auc, samples, mistakes
FROM (
    SELECT *, row_number() OVER (PARTITION BY epoch, step ORDER BY importance DESC, neuron) AS place
    FROM raw_meta_model($layer, $trees, $seed)
    WHERE $epoch IS NULL OR epoch = $epoch
)
WHERE $top IS NULL OR place <= $top
ORDER BY epoch, step, place
