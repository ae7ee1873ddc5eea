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
    SELECT DISTINCT ON (n.number) n.number, n.label, n.concept
    FROM concept_numbers(models := models) AS n
    ORDER BY n.number, n.space
),
-- Where each model keeps the classes in question. A file keeps no MATERIALIZED, and DuckDB 1.2 then
-- evaluates anew what is named twice: so `top` is named once.
wanted AS MATERIALIZED (
    SELECT
        t.*,
        x.label AS class_a,
        y.label AS class_b,
        m.model_id,
        m.name,
        least(i.class_idx, j.class_idx) AS idx_a,
        greatest(i.class_idx, j.class_idx) AS idx_b
    FROM top AS t
    JOIN named AS x ON x.number = t.a
    JOIN named AS y ON y.number = t.b
    JOIN classes AS i ON i.concept = x.concept
    JOIN classes AS j ON j.concept = y.concept AND j.model_id = i.model_id
    JOIN models AS m ON m.model_id = i.model_id AND m.normalization = t.normalization
    WHERE models IS NULL OR list_contains(models, m.name)
)
SELECT
    w.class_a,
    w.class_b,
    w.normalization,
    w.n,
    w.mean,
    w.sd,
    w.low,
    arg_min(w.name, p.cosine) AS low_model,
    w.high,
    arg_max(w.name, p.cosine) AS high_model
FROM wanted AS w
JOIN (
    -- few values, by which the scan can skip most of the pairs
    SELECT q.* FROM pairs AS q
    WHERE q.a IN (SELECT DISTINCT w.idx_a FROM wanted AS w)
      AND q.model_id IN (SELECT DISTINCT w.model_id FROM wanted AS w)
) AS p ON p.model_id = w.model_id AND p.a = w.idx_a AND p.b = w.idx_b
GROUP BY w.class_a, w.class_b, w.normalization, w.n, w.mean, w.sd, w.low, w.high, w.a, w.b
ORDER BY w.sd DESC, w.a, w.b;
