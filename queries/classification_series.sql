-- Every output of the network for every held-out sample, epoch after epoch, as one long series.
--
-- Parameters:
--   epoch Int32{<epoch>,first,last,all} = NULL: this epoch alone
--   sample Int64{<sample>,all} = NULL: this sample alone
--
-- Columns:
--   epoch Int32: the epoch
--   step Int64: optimizer steps done
--   sample Int64: position in the held-out set, from 0
--   output Int32: position among the sample's outputs, from 0
--   class_result Float32: the output: a probability, or the raw value of a regression
SELECT epoch, step, sample, CAST(output AS INT) AS output, class_result
FROM (
    SELECT
        epoch, step, sample,
        unnest(range(CAST(cardinality(outputs) AS BIGINT))) AS output,
        unnest(outputs) AS class_result
    FROM classifications
    WHERE phase = 'eval'
        AND ($epoch IS NULL OR epoch = $epoch)
        AND ($sample IS NULL OR sample = $sample)
)
ORDER BY epoch, step, sample, output
