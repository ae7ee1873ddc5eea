-- Which models see one class differently from the rest: the least agreeing first.
--
-- class   VARCHAR            a label in any case, else a concept, else an index
-- models  VARCHAR[] := NULL  only these models
--
-- Example: FROM outlier_models('Dungeness crab')
--
-- Reading it: a model's profile of the class is its cosines with every other class. correlation is
-- Pearson's, of that profile with the mean profile of the other models, over the n concepts that they
-- share; mean_difference is the mean absolute difference of the two. With two models both have the
-- same correlation. Models that are normalised in different ways are compared apart. The class is
-- looked up in each model by itself, so give its concept where label spaces differ.
CREATE OR REPLACE MACRO outlier_models(class, models := NULL) AS TABLE
WITH profiles AS (
    SELECT x.model_id, x.name, x.normalization, o.concept, x.cosine::DOUBLE AS cosine
    FROM class_cosines(class, models := models) AS x
    JOIN classes AS o ON o.model_id = x.model_id AND o.class_idx = x.other_idx
),
totals AS (
    SELECT p.normalization, p.concept, sum(p.cosine) AS total, count(*) AS n
    FROM profiles AS p
    GROUP BY ALL
    HAVING count(*) > 1
)
SELECT
    p.name AS model,
    p.normalization,
    count(*) AS n,
    CASE
        WHEN stddev_pop(p.cosine) > 0 AND stddev_pop((t.total - p.cosine) / (t.n - 1)) > 0
        THEN corr(p.cosine, (t.total - p.cosine) / (t.n - 1))
    END AS correlation,
    avg(abs(p.cosine - (t.total - p.cosine) / (t.n - 1))) AS mean_difference
FROM profiles AS p
JOIN totals AS t ON t.normalization = p.normalization AND t.concept = p.concept
GROUP BY p.model_id, p.name, p.normalization
ORDER BY round(correlation, 12) NULLS LAST, p.model_id;
