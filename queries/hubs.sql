-- How often each class is among the k nearest of the others, the most frequent first.
--
-- k       INTEGER := 10      how near, from 1 to 100
-- models  VARCHAR[] := NULL  only these models
--
-- Example: FROM hubs(k := 10, models := ['efficientnet_lite0']) LIMIT 20
--
-- Reading it: occurrences is N_k, with mean k over the classes of a model; a hub has many times k,
-- an antihub 0. share is N_k over the C-1 classes that could have it. skewness is the third
-- standardised moment of N_k over the whole model, the same in each of its rows: 0 for an even
-- spread, above about 1.4 strong hubness (Radovanović, Nanopoulos and Ivanović 2010, JMLR 11).
CREATE OR REPLACE MACRO hubs(k := 10, models := NULL) AS TABLE
WITH counted AS (
    SELECT c.model_id, c.class_idx, c.label, c.concept, count(n.model_id) AS occurrences
    FROM models AS m
    JOIN classes AS c ON c.model_id = m.model_id
    LEFT JOIN (
        SELECT x.model_id, x.neighbor_idx FROM neighbors AS x WHERE x.rank <= stored_rank(k)
    ) AS n ON n.model_id = c.model_id AND n.neighbor_idx = c.class_idx
    WHERE models IS NULL OR list_contains(models, m.name)
    GROUP BY ALL
),
moments AS (
    SELECT
        c.model_id,
        count(*) AS n_classes,
        avg(c.occurrences) AS mean,
        stddev_pop(c.occurrences) AS sd
    FROM counted AS c
    GROUP BY c.model_id
),
skews AS (
    SELECT
        c.model_id,
        CASE WHEN any_value(o.sd) > 0 THEN avg(((c.occurrences - o.mean) / o.sd) ** 3) END AS skewness
    FROM counted AS c
    JOIN moments AS o ON o.model_id = c.model_id
    WHERE o.sd > 0
    GROUP BY c.model_id
)
SELECT
    m.name AS model,
    c.label AS class,
    c.concept,
    c.occurrences,
    c.occurrences / (m.n_classes - 1) AS share,
    s.skewness
FROM counted AS c
JOIN models AS m ON m.model_id = c.model_id
LEFT JOIN skews AS s ON s.model_id = c.model_id
ORDER BY c.model_id, c.occurrences DESC, c.class_idx;
