-- How the neighbours of one class move from one model to another.
--
-- class    VARCHAR          a label in any case, else a concept, else an index
-- model_a  VARCHAR          a model's name
-- model_b  VARCHAR          another model's name
-- k        INTEGER := 25    the classes among the k nearest in either model
-- keep     CONDITION := NULL  a condition on the classes that count, over the columns label, concept,
--                             class_idx, bias, mean, std and norm
--
-- Example: FROM rank_shift('Dungeness crab', 'efficientnet_lite0', 'efficientnet_lite2', k := 10)
--
-- Reading it: rank_a and rank_b are among the classes that both models have; shift is rank_b - rank_a,
-- so above 0 the class is farther away in model_b. A shift near the top means more than the same shift
-- far down, where cosines lie close together. Classes are matched by concept; the one asked for is
-- looked up in each model by itself, so give its concept where label spaces differ. `keep` is asked of
-- the classes of model_a.
CREATE OR REPLACE MACRO rank_shift(class, model_a, model_b, k := 25, keep := NULL) AS TABLE
WITH candidates AS (
    SELECT c.*
    FROM (SELECT model_id, class_idx, label, concept, bias, mean, std, norm FROM classes) AS c
    WHERE typeof(keep) = '"NULL"' OR keep
),
joint AS (
    SELECT
        o.label,
        o.concept,
        x.cosine AS cosine_a,
        y.cosine AS cosine_b,
        row_number() OVER (ORDER BY x.cosine DESC, x.other_idx) AS rank_a,
        row_number() OVER (ORDER BY y.cosine DESC, y.other_idx) AS rank_b
    FROM class_cosines(class, models := [model_a]) AS x
    JOIN candidates AS o ON o.model_id = x.model_id AND o.class_idx = x.other_idx
    JOIN classes AS q ON q.concept = o.concept
    JOIN class_cosines(class, models := [model_b]) AS y
      ON y.model_id = q.model_id AND y.other_idx = q.class_idx
)
SELECT
    j.label AS neighbor,
    j.concept AS neighbor_concept,
    j.rank_a::INTEGER AS rank_a,
    j.rank_b::INTEGER AS rank_b,
    (j.rank_b - j.rank_a)::INTEGER AS shift,
    j.cosine_a,
    j.cosine_b
FROM joint AS j
WHERE j.rank_a <= k OR j.rank_b <= k
ORDER BY least(j.rank_a, j.rank_b), j.rank_a;
