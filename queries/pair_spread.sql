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
WITH cosines AS (
    SELECT
        x.name,
        x.normalization,
        a.label AS label_a,
        o.label AS label_b,
        a.concept AS concept_a,
        o.concept AS concept_b,
        x.cosine
    FROM class_cosines(class_a, models := models) AS x
    JOIN classes AS a ON a.model_id = x.model_id AND a.class_idx = x.class_idx
    JOIN classes AS o ON o.model_id = x.model_id AND o.class_idx = x.other_idx
    WHERE class_b IS NULL
    UNION ALL
    -- one pair is found without reading all those of a class
    SELECT d.model, d.normalization, d.class_a, d.class_b, a.concept, b.concept, d.cosine
    FROM distance(class_a, class_b, models := models) AS d
    JOIN class_named(class_a, models := models) AS a ON a.name = d.model
    JOIN class_named(class_b, models := models) AS b ON b.name = d.model
    WHERE class_b IS NOT NULL
)
SELECT
    min(c.label_a) AS class_a,
    min(c.label_b) AS class_b,
    c.normalization,
    count(*) AS n,
    avg(c.cosine::DOUBLE) AS mean,
    stddev_samp(c.cosine::DOUBLE) AS sd,
    min(c.cosine) AS low,
    arg_min(c.name, c.cosine) AS low_model,
    max(c.cosine) AS high,
    arg_max(c.name, c.cosine) AS high_model
FROM cosines AS c
GROUP BY c.normalization, c.concept_a, c.concept_b
ORDER BY sd DESC NULLS LAST, 2, c.normalization, c.concept_b, c.concept_a;
