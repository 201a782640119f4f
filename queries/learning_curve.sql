-- Loss and accuracy of each epoch, in training and on the held-out set, as last reported.
--
-- Parameters:
--   phase Utf8{train,eval} = NULL: this phase alone
--
-- Columns:
--   epoch Int32: the epoch
--   phase Utf8: `train` or `eval`
--   loss Float64: mean loss
--   accuracy Float64: share of samples whose class was right; null where there are no classes
SELECT
    epoch, phase,
    last_value(value ORDER BY step) FILTER (WHERE name = 'loss') AS loss,
    last_value(value ORDER BY step) FILTER (WHERE name = 'accuracy') AS accuracy
FROM metrics
WHERE name IN ('loss', 'accuracy') AND ($phase IS NULL OR phase = $phase)
GROUP BY epoch, phase
ORDER BY epoch, phase
