-- What recording cost, stage by stage, and whether any capture was thinned out or dropped: the
-- figures that the recorder and the sink report of themselves, over the whole run.
--
-- Parameters:
--   epoch Int32{<reported epoch>,first,last,all} = NULL: what was reported in this epoch alone
--
-- Columns:
--   stage Utf8: `recorder` (in the training process's hand-off and read-back) or `sink` (encoding
--       and publishing)
--   figure Utf8: what was measured, as the metric's name says after the stage
--   unit Utf8: its unit, as the name ends
--   total Float64: the sum of the reports; of a high-water mark, the highest
--   worst Float64: the largest single report
--   reports Int64: how many reports there were
SELECT
    split_part(name, '.', 1) AS stage,
    split_part(name, '.', 2) AS figure,
    regexp_match(name, '_([a-z]+)$')[1] AS unit,
    CASE WHEN ends_with(name, '_high_water_bytes') THEN max(value) ELSE sum(value) END AS total,
    max(value) AS worst,
    count(*) AS reports
FROM metrics
WHERE (starts_with(name, 'recorder.') OR starts_with(name, 'sink.'))
    AND ($epoch IS NULL OR epoch = $epoch)
GROUP BY name
ORDER BY stage, figure
