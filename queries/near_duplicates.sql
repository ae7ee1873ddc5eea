-- The pairs of classes that a model hardly tells apart: cosine at or above a threshold.
--
-- threshold  DOUBLE := 0.5      the least cosine
-- models     VARCHAR[] := NULL  only these models
--
-- Example: FROM near_duplicates(threshold := 0.5, models := ['efficientnet_lite0'])
--
-- Reading it: rows so alike that the network separates the two classes by little: synonyms, labels
-- that overlap, or classes that data confuse. What counts as high depends on the head: compare the
-- distribution (`FROM similarity_histogram()`). Of a model without stored pairs, only the pairs among
-- the 100 nearest of either class are seen.
CREATE OR REPLACE MACRO near_duplicates(threshold := 0.5, models := NULL) AS TABLE
WITH chosen AS (
    SELECT m.model_id, m.n_pairs FROM models AS m WHERE models IS NULL OR list_contains(models, m.name)
),
alike AS MATERIALIZED (
    SELECT p.model_id, p.a, p.b, p.cosine
    FROM pairs AS p
    WHERE p.cosine >= threshold AND p.model_id IN (SELECT c.model_id FROM chosen AS c)
    UNION ALL
    SELECT DISTINCT
        n.model_id, least(n.class_idx, n.neighbor_idx), greatest(n.class_idx, n.neighbor_idx), n.cosine
    FROM neighbors AS n
    WHERE n.cosine >= threshold
      AND n.model_id IN (SELECT c.model_id FROM chosen AS c WHERE c.n_pairs = 0)
)
SELECT
    m.name AS model,
    a.label AS class_a,
    b.label AS class_b,
    x.cosine,
    euclidean(x.cosine, a.norm, b.norm) AS euclidean
FROM alike AS x
JOIN models AS m ON m.model_id = x.model_id
JOIN classes AS a ON a.model_id = x.model_id AND a.class_idx = x.a
JOIN classes AS b ON b.model_id = x.model_id AND b.class_idx = x.b
ORDER BY x.cosine DESC, x.model_id, x.a, x.b;
