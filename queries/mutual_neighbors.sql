-- The pairs of classes of one model that are each among the other's k nearest.
--
-- model  VARCHAR        a model's name
-- k      INTEGER := 10  how near, from 1 to 100
--
-- Example: FROM mutual_neighbors('efficientnet_lite0', k := 5)
--
-- Reading it: rank_a is class_b's place among the neighbours of class_a, rank_b the other way round.
-- Being near is not mutual by itself: a hub is in many lists and few are in its own, so a mutual pair
-- is better evidence that two classes share traits than a one-sided one.
CREATE OR REPLACE MACRO mutual_neighbors(model, k := 10) AS TABLE
WITH focal AS (
    SELECT m.model_id FROM models AS m WHERE m.name = model
),
-- of one model alone: joined to each other first, the neighbours of all models would be read
near AS MATERIALIZED (
    SELECT n.model_id, n.class_idx, n.rank, n.neighbor_idx, n.cosine
    FROM neighbors AS n
    WHERE n.model_id IN (SELECT f.model_id FROM focal AS f) AND n.rank <= stored_rank(k)
)
SELECT
    m.name AS model,
    a.label AS class_a,
    b.label AS class_b,
    n.rank AS rank_a,
    o.rank AS rank_b,
    n.cosine,
    euclidean(n.cosine, a.norm, b.norm) AS euclidean
FROM near AS n
JOIN near AS o ON o.class_idx = n.neighbor_idx AND o.neighbor_idx = n.class_idx
JOIN models AS m ON m.model_id = n.model_id
JOIN classes AS a ON a.model_id = n.model_id AND a.class_idx = n.class_idx
JOIN classes AS b ON b.model_id = n.model_id AND b.class_idx = n.neighbor_idx
WHERE n.class_idx < n.neighbor_idx
ORDER BY n.cosine DESC, n.class_idx, n.neighbor_idx;
