-- How much the cosine of a pair varies over the models: one pair, or one class with every other.
--
-- class_a  VARCHAR            a label in any case, else a concept, else an index
-- class_b  VARCHAR := NULL    the other class; NULL: every other, the most varying first
-- models   VARCHAR[] := NULL  only these models
--
-- Example: FROM pair_spread('Dungeness crab', class_b := 'king crab')
--
-- Reading it: n models know both classes; mean and sd (of a sample, so NULL for one model) are of
-- their cosines, low and high the extremes with the models that hold them. Classes are matched by
-- concept: where class_a names another concept in another model, as an index may, each has its rows.
-- Models that are normalised in different ways are counted apart, a row each.
CREATE OR REPLACE MACRO pair_spread(class_a, class_b := NULL, models := NULL) AS TABLE
SELECT
    min(a.label) AS class_a,
    min(o.label) AS class_b,
    x.normalization,
    count(*) AS n,
    avg(x.cosine::DOUBLE) AS mean,
    stddev_samp(x.cosine::DOUBLE) AS sd,
    min(x.cosine) AS low,
    arg_min(x.name, x.cosine) AS low_model,
    max(x.cosine) AS high,
    arg_max(x.name, x.cosine) AS high_model
FROM class_cosines(class_a, models := models) AS x
JOIN classes AS a ON a.model_id = x.model_id AND a.class_idx = x.class_idx
JOIN classes AS o ON o.model_id = x.model_id AND o.class_idx = x.other_idx
WHERE class_b IS NULL
   OR (x.model_id, x.other_idx) IN (
        SELECT (b.model_id, b.class_idx) FROM class_named(class_b, models := models) AS b
      )
GROUP BY x.normalization, a.concept, o.concept
ORDER BY sd DESC NULLS LAST, 2, x.normalization, o.concept, a.concept;
