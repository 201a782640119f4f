-- The strongest chains of weights from an input through the neurons to an output. A chain is as
-- strong as the product of the amounts of its weights. Biases and non-linearities do not count; of
-- several weights from one unit to another (a convolution's kernel) the largest by its amount does.
--
-- Parameters:
--   epoch Int32{<epoch>,first,last,all} = last: this epoch alone; in SQL `all` by default
--   top Int64{1..1000000} = 20: how many chains of an epoch
--   class Int32{<output or name>,all} = NULL: chains to this output alone, from 0
--
-- Columns:
--   epoch Int32: the epoch
--   rank Int32: 1 for the strongest chain of the epoch
--   class Int32: the output that it leads to, from 0
--   strength Float64: product of the amounts of its weights
--   sign Int32: 1 or -1, that of the product of its weights
--   path List(Utf8): where it leads, from an input (`input_3`) through neurons (`n_7`) to the
--       output's
SELECT epoch, rank, class, strength, sign, path
FROM raw_strongest_paths($top, $class)
WHERE $epoch IS NULL OR epoch = $epoch
ORDER BY epoch, step, rank
