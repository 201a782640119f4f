-- How many held-out samples of each class were taken for which. Samples without a class, and those
-- whose outputs were not finite, are not counted.
--
-- Parameters:
--   epoch Int32{<epoch>,first,last,all} = NULL: this epoch alone
--
-- Columns:
--   epoch Int32: the epoch
--   target Int32: the class that the samples are of
--   predicted Int32: the class that they were taken for
--   count Int64: how many
SELECT epoch, target, predicted, count(*) AS count
FROM classifications
WHERE phase = 'eval'
    AND target IS NOT NULL
    AND predicted IS NOT NULL
    AND ($epoch IS NULL OR epoch = $epoch)
GROUP BY epoch, step, target, predicted
ORDER BY epoch, step, target, predicted
