-- The k classes of each model whose nearest class is farthest away.
--
-- k       INTEGER := 25      how many of each model
-- models  VARCHAR[] := NULL  only these models
--
-- Example: FROM isolated_classes(k := 10, models := ['efficientnet_lite0'])
--
-- Reading it: cosine is that of the class with its nearest neighbour, mean_cosine of its ten nearest.
-- An isolated class is one the head knows by traits that it uses for no other: often a class with a
-- texture or a setting of its own. Rank 1 is the most isolated.
CREATE OR REPLACE MACRO isolated_classes(k := 25, models := NULL) AS TABLE
WITH nearest_of AS (
    SELECT
        n.model_id,
        n.class_idx,
        arg_min(n.neighbor_idx, n.rank) AS neighbor_idx,
        max(n.cosine) AS cosine,
        avg(n.cosine::DOUBLE) AS mean_cosine
    FROM neighbors AS n
    WHERE n.rank <= 10
      AND n.model_id IN (
          SELECT m.model_id FROM models AS m WHERE models IS NULL OR list_contains(models, m.name)
      )
    GROUP BY n.model_id, n.class_idx
),
ranked AS (
    SELECT
        m.name,
        x.*,
        row_number() OVER (PARTITION BY x.model_id ORDER BY x.cosine, x.class_idx) AS place
    FROM nearest_of AS x
    JOIN models AS m ON m.model_id = x.model_id
    QUALIFY row_number() OVER (PARTITION BY x.model_id ORDER BY x.cosine, x.class_idx) <= k
)
SELECT
    r.name AS model,
    c.label AS class,
    c.concept,
    r.place::INTEGER AS rank,
    o.label AS neighbor,
    r.cosine,
    r.mean_cosine
FROM ranked AS r
JOIN classes AS c ON c.model_id = r.model_id AND c.class_idx = r.class_idx
JOIN classes AS o ON o.model_id = r.model_id AND o.class_idx = r.neighbor_idx
ORDER BY r.model_id, r.place;
