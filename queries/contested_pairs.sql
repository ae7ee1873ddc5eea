-- The k pairs of classes on which the models disagree most: the widest spread of the cosine.
--
-- k       INTEGER := 25      how many
-- models  VARCHAR[] := NULL  only these models, at least two
--
-- Example: FROM contested_pairs(k := 20)
-- Example: FROM contested_pairs(models := ['efficientnet_lite0', 'efficientnet_lite2'])
--
-- Reading it: sd is the sample standard deviation of the pair's cosine over the n models that store
-- it; low and high are the extremes, with the models that hold them. A large sd means that the models
-- put the two classes in different relation, not that one is wrong. Classes are matched by concept,
-- only stored pairs count, and models that are normalised in different ways are kept apart.
CREATE OR REPLACE MACRO contested_pairs(k := 25, models := NULL) AS TABLE
WITH top AS MATERIALIZED (
    SELECT s.*
    FROM pair_statistics(models := models) AS s
    WHERE s.n > 1
    ORDER BY s.sd DESC, s.a, s.b
    LIMIT k
),
named AS MATERIALIZED (
    SELECT DISTINCT ON (n.number) n.number, n.normalization, n.label, n.concept
    FROM concept_numbers(models := models) AS n
    ORDER BY n.number, n.space
),
-- where each model keeps the classes in question
places AS MATERIALIZED (
    SELECT n.number, c.model_id, c.class_idx
    FROM (SELECT t.a AS number FROM top AS t UNION SELECT t.b FROM top AS t) AS w
    JOIN named AS n ON n.number = w.number
    JOIN classes AS c ON c.concept = n.concept
    JOIN models AS m ON m.model_id = c.model_id AND m.normalization = n.normalization
    WHERE models IS NULL OR list_contains(models, m.name)
),
wanted AS MATERIALIZED (
    SELECT
        t.a,
        t.b,
        i.model_id,
        least(i.class_idx, j.class_idx) AS idx_a,
        greatest(i.class_idx, j.class_idx) AS idx_b
    FROM top AS t
    JOIN places AS i ON i.number = t.a
    JOIN places AS j ON j.number = t.b AND j.model_id = i.model_id
),
held AS (
    SELECT w.a, w.b, m.name, p.cosine
    FROM wanted AS w
    JOIN (
        -- few values, by which the scan can skip most of the pairs
        SELECT x.* FROM pairs AS x
        WHERE x.a IN (SELECT DISTINCT w.idx_a FROM wanted AS w)
          AND x.model_id IN (SELECT DISTINCT w.model_id FROM wanted AS w)
    ) AS p ON p.model_id = w.model_id AND p.a = w.idx_a AND p.b = w.idx_b
    JOIN models AS m ON m.model_id = w.model_id
),
extremes AS (
    SELECT h.a, h.b, arg_min(h.name, h.cosine) AS low_model, arg_max(h.name, h.cosine) AS high_model
    FROM held AS h
    GROUP BY h.a, h.b
)
SELECT
    x.label AS class_a,
    y.label AS class_b,
    t.normalization,
    t.n,
    t.mean,
    t.sd,
    t.low,
    e.low_model,
    t.high,
    e.high_model
FROM top AS t
JOIN named AS x ON x.number = t.a
JOIN named AS y ON y.number = t.b
JOIN extremes AS e ON e.a = t.a AND e.b = t.b
ORDER BY t.sd DESC, t.a, t.b;
