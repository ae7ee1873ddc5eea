-- How alike two classes are in every model that has both: one row a model.
--
-- class_a  VARCHAR            a label in any case, else a concept, else an index
-- class_b  VARCHAR            the other class, likewise
-- models   VARCHAR[] := NULL  only these models
--
-- Example: FROM distance('Dungeness crab', 'king crab')
--
-- Reading it: compare the cosines of models with their normalisation in view, and rather by how far
-- each lies above its model's own mean (`FROM model_summary()`): a narrow head has wider cosines.
-- A model without stored pairs answers from its weights, with the same result. The classes are looked
-- up in each model by itself, so give their concepts where label spaces differ.
CREATE OR REPLACE MACRO distance(class_a, class_b, models := NULL) AS TABLE
WITH joint AS (
    SELECT
        a.model_id, a.name, a.normalization, a.n_pairs, a.label AS label_a, b.label AS label_b,
        a.norm AS norm_a, b.norm AS norm_b,
        least(a.class_idx, b.class_idx) AS idx_a, greatest(a.class_idx, b.class_idx) AS idx_b
    FROM class_named(class_a, models := models) AS a
    JOIN class_named(class_b, models := models) AS b ON b.model_id = a.model_id
),
found AS (
    SELECT c.model_id, p.cosine
    FROM joint AS c
    JOIN pairs AS p ON p.model_id = c.model_id AND p.a = c.idx_a AND p.b = c.idx_b
    UNION ALL
    SELECT c.model_id, cosine_of(v.vector, w.vector)
    FROM joint AS c
    JOIN weights AS v ON v.model_id = c.model_id AND v.class_idx = c.idx_a
    JOIN weights AS w ON w.model_id = c.model_id AND w.class_idx = c.idx_b
    WHERE c.n_pairs = 0
)
SELECT
    c.name AS model,
    c.label_a AS class_a,
    c.label_b AS class_b,
    f.cosine,
    euclidean(f.cosine, c.norm_a, c.norm_b) AS euclidean,
    c.normalization
FROM joint AS c
JOIN found AS f ON f.model_id = c.model_id
WHERE c.idx_a < c.idx_b
ORDER BY c.model_id;
