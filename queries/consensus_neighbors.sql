-- The classes nearest to one class over all models: by the mean of their ranks.
--
-- class   VARCHAR            a label in any case, else a concept, else an index
-- k       INTEGER := 25      how many
-- models  VARCHAR[] := NULL  only these models
-- keep    CONDITION := NULL  a condition on the classes that may answer, over the columns label,
--                            concept, class_idx, bias, mean, std and norm; there are still k answers
--
-- Example: FROM consensus_neighbors('Dungeness crab', k := 10)
--
-- Reading it: in each model every class has a rank by its cosine with the one asked for; mean_rank is
-- over the n models that have the class, best_rank and worst_rank its extremes. Ranks do not depend
-- on how wide a model's cosines are or how it was normalised; mean_cosine and sd_cosine do, so read
-- them where all models are normalised alike. Classes are matched by concept; the one asked for is
-- looked up in each model by itself, so give its concept where label spaces differ.
CREATE OR REPLACE MACRO consensus_neighbors(class, k := 25, models := NULL, keep := NULL) AS TABLE
WITH ranked AS (
    SELECT
        x.model_id,
        x.class_idx,
        o.label,
        o.concept,
        x.cosine,
        row_number() OVER (PARTITION BY x.model_id ORDER BY x.cosine DESC, x.other_idx) AS place
    FROM class_cosines(class, models := models) AS x
    JOIN (
        SELECT c.*
        FROM (SELECT model_id, class_idx, label, concept, bias, mean, std, norm FROM classes) AS c
        WHERE typeof(keep) = '"NULL"' OR keep
    ) AS o ON o.model_id = x.model_id AND o.class_idx = x.other_idx
),
gathered AS (
    SELECT
        arg_min(r.label, r.model_id) AS label,
        r.concept,
        count(*) AS n,
        avg(r.place) AS mean_rank,
        min(r.place) AS best_rank,
        max(r.place) AS worst_rank,
        avg(r.cosine::DOUBLE) AS mean_cosine,
        stddev_samp(r.cosine::DOUBLE) AS sd_cosine
    FROM ranked AS r
    GROUP BY r.concept
)
SELECT
    (SELECT arg_min(f.label, f.model_id) FROM class_named(class, models := models) AS f) AS class,
    (row_number() OVER (ORDER BY g.mean_rank, g.concept))::INTEGER AS rank,
    g.label AS neighbor,
    g.concept AS neighbor_concept,
    g.n,
    g.mean_rank,
    g.best_rank,
    g.worst_rank,
    g.mean_cosine,
    g.sd_cosine
FROM gathered AS g
ORDER BY g.mean_rank, g.concept
LIMIT k;
