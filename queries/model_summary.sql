-- One row a model: its size, and what its cosines are like as a whole.
--
-- models  VARCHAR[] := NULL  only these models
--
-- Example: FROM model_summary()
--
-- Reading it: mean and sd (of the population) are of the cosines of all pairs, low and high the
-- extremes; null_mean is -1/(C-1), which the mean approaches in a head without structure, and null_sd
-- 1/sqrt(D-1), the spread of unrelated directions: an sd well above it is structure. mean_nearest is
-- the mean cosine of a class with its nearest neighbour. Without stored pairs the first four are NULL.
CREATE OR REPLACE MACRO model_summary(models := NULL) AS TABLE
WITH chosen AS (
    SELECT m.* FROM models AS m WHERE models IS NULL OR list_contains(models, m.name)
),
cosines AS (
    SELECT
        p.model_id,
        avg(p.cosine::DOUBLE) AS mean,
        stddev_pop(p.cosine::DOUBLE) AS sd,
        min(p.cosine) AS low,
        max(p.cosine) AS high
    FROM pairs AS p
    WHERE p.model_id IN (SELECT c.model_id FROM chosen AS c)
    GROUP BY p.model_id
),
closest AS (
    SELECT n.model_id, avg(n.cosine::DOUBLE) AS cosine
    FROM neighbors AS n
    WHERE n.rank = 1 AND n.model_id IN (SELECT c.model_id FROM chosen AS c)
    GROUP BY n.model_id
)
SELECT
    c.name AS model,
    c.n_classes AS classes,
    c.dim,
    c.label_space,
    c.normalization,
    c.n_pairs AS pairs,
    x.mean,
    x.sd,
    x.low,
    x.high,
    -1 / (c.n_classes - 1) AS null_mean,
    1 / sqrt(c.dim - 1) AS null_sd,
    n.cosine AS mean_nearest
FROM chosen AS c
LEFT JOIN cosines AS x ON x.model_id = c.model_id
LEFT JOIN closest AS n ON n.model_id = c.model_id
ORDER BY c.model_id;
