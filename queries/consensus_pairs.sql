-- The k pairs of classes that the models hold most alike: the highest mean cosine.
--
-- k           INTEGER := 25      how many
-- models      VARCHAR[] := NULL  only these models
-- min_models  INTEGER := 2       only pairs that at least so many of them store
--
-- Example: FROM consensus_pairs(k := 20)
--
-- Reading it: mean and sd are of the pair's cosine over the n models that store it, low and high its
-- extremes. A high mean with a small sd is a likeness that does not hang on one network. Classes are
-- matched by concept, and models that are normalised in different ways are kept apart.
CREATE OR REPLACE MACRO consensus_pairs(k := 25, models := NULL, min_models := 2) AS TABLE
WITH top AS MATERIALIZED (
    SELECT s.*
    FROM pair_statistics(models := models) AS s
    WHERE s.n >= min_models
    ORDER BY s.mean DESC, s.a, s.b
    LIMIT k
),
named AS (
    SELECT DISTINCT ON (n.number) n.number, n.label
    FROM concept_numbers(models := models) AS n
    ORDER BY n.number, n.space
)
SELECT
    x.label AS class_a,
    y.label AS class_b,
    t.normalization,
    t.n,
    t.mean,
    t.sd,
    t.low,
    t.high
FROM top AS t
JOIN named AS x ON x.number = t.a
JOIN named AS y ON y.number = t.b
ORDER BY t.mean DESC, t.a, t.b;
