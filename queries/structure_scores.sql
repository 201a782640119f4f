-- Where and when neurons take part in an output: how strongly each neuron's activations go with
-- each class that the network predicts, over the held-out samples, with the strongest neurons of
-- each class first. The output layer is left out: its units are the outputs.
--
-- Parameters:
--   epoch Int32{<epoch>,first,last,all} = last: this epoch alone; in SQL `all` by default
--   class Int32{<class or name>,all} = NULL: this class alone
--   layer Utf8{<layer or glob>,first,last,all} = NULL: neurons of this layer alone, and ranks and
--       p-values among them
--   top Int32{1..,all} = 20: so many neurons of each class at each epoch
--   measure Utf8{correlation,mutual_information,auc} = correlation: what `score` is
--   permutations Int32{0..1000000} = 1000: how many permutations of the samples' classes p-values are
--       made of; with 0 there are none
--   bootstraps Int32{0..100000} = 0: how many times samples are drawn anew, with replacement, for
--       `stability`
--   size Int32{1..10000} = 5: the strongest neurons of a class among which `stability` looks
--   half Utf8{all,first,second} = all: the samples that are looked at: `all`, or the `first` or
--       `second` half of each target class, which `seed` decides about
--   seed Int64{0..} = 42: of permutations, draws and halves
--
-- Columns:
--   layer Utf8: where: the neuron's layer
--   neuron Int32: the neuron's id across the network
--   epoch Int32: when
--   class Int32: the class that the network predicts
--   score Float32: how strongly the neuron's activation goes with the prediction of the class, by the
--       measure; null where a neuron's activation is constant or not finite, or the network
--       predicted the class for no sample or for all
--   p_value Float32: how probable it is that chance takes any neuron of the epoch that far for any
--       class, by permutation (maxT of Westfall and Young)
--   rank Int32: 1 for the strongest score of the class at the epoch; null without a score
--   correlation Float32: point-biserial correlation, from -1 to 1
--   mutual_information Float32: in nats, of the prediction and the activation in 8 bins of equal
--       frequency
--   auc Float32: probability that the activation is larger for a sample of the class than for another
--   stability Float32: share of the draws that has the neuron among the strongest of the class; null
--       without draws
SELECT
    layer, neuron, epoch, class, score, p_value, rank, correlation, mutual_information, auc,
    stability
FROM raw_structure_scores($layer, $measure, $permutations, $half, $seed, $bootstraps, $size)
WHERE ($epoch IS NULL OR epoch = $epoch)
    AND ($class IS NULL OR class = $class)
    AND ($top IS NULL OR rank <= $top)
ORDER BY epoch, step, class, rank, neuron
