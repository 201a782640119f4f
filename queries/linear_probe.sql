-- How well a layer's neurons tell each class jointly: a linear probe (logistic regression with an L2
-- penalty of C = 1, on standardised activations) of whether the network predicts the class, judged
-- on held-out samples that it was not fitted to, by five-fold cross-validation.
--
-- Parameters:
--   epoch Int32{<epoch>,first,last,all} = last: this epoch alone; in SQL `all` by default
--   class Int32{<class or name>,all} = NULL: this class alone
--   layer Utf8{<layer or glob>,first,last,all} = NULL: this layer alone; the output layer is left out
--   neurons Utf8{<neurons>} = NULL: in place of layers, these neurons together, as `3,7,120`
--   half Utf8{all,first,second} = all: the samples that are looked at, as in structure_scores
--   seed Int64{0..} = 42: of halves
--
-- Columns:
--   epoch Int32: the epoch
--   layer Utf8: the layer; null where neurons were named
--   neurons Int64: how many neurons are probed together
--   class Int32: the class that the network predicts
--   auc Float32: probability that the probe puts a sample of the class above another, the mean over
--       the folds; null where the class or the others have less than five samples
--   accuracy Float32: share of the samples that the probe places on the right side
--   majority Float32: share that is right without a look at the neurons: that of the larger side
SELECT epoch, layer, neurons, class, auc, accuracy, majority
FROM raw_linear_probe($layer, $neurons, $half, $seed)
WHERE ($epoch IS NULL OR epoch = $epoch) AND ($class IS NULL OR class = $class)
ORDER BY epoch, step, layer_index, class
