-- The k classes of one model whose weight rows point most nearly the same way as a given class.
--
-- model  VARCHAR          a model's name, as `FROM models` lists it
-- class  VARCHAR          a label in any case, else a concept such as a WordNet id, else an index;
--                         a number without quotes is always an index
-- k      INTEGER := 25    how many; the class itself is not its neighbour
-- keep   CONDITION := NULL  a condition on the classes that may answer, over the columns label,
--                           concept, class_idx, bias, mean, std and norm; there are still k answers
--
-- Example: FROM neighbors('efficientnet_lite0', 'Dungeness crab', k := 25)
-- Example: FROM neighbors('efficientnet_lite0', 'Dungeness crab', k := 5, keep := label ILIKE '%fish%')
--
-- Reading it: cosine is 1 for the same direction, about 0 (exactly -1/(C-1) on average in a head
-- without structure) for unrelated classes, negative for classes the head holds apart. Euclidean is
-- the distance of the normalised rows. Rank counts the classes that may answer. Up to k = 100 the
-- stored neighbours answer; beyond, the cosines are computed from the weights, with the same result.
-- A label that several classes share is an error: give the concept or the index.
CREATE OR REPLACE MACRO neighbors(model, class, k := 25, keep := NULL) AS TABLE
WITH focal AS (
    SELECT n.* FROM class_named(class, models := [model]) AS n LIMIT 1
),
-- A condition over columns can't be looked at, but its type can: an untyped NULL is none.
stored AS (
    SELECT f.* FROM focal AS f WHERE k <= 100 AND typeof(keep) = '"NULL"'
),
computed AS (
    SELECT f.* FROM focal AS f WHERE k > 100 OR typeof(keep) <> '"NULL"'
),
found AS (
    SELECT n.neighbor_idx, n.cosine
    FROM stored AS f
    JOIN neighbors AS n ON n.model_id = f.model_id AND n.class_idx = f.class_idx
    WHERE n.rank <= k
    UNION ALL
    SELECT o.class_idx, cosine_of(w.vector, v.vector)
    FROM computed AS f
    JOIN weights AS v ON v.model_id = f.model_id AND v.class_idx = f.class_idx
    JOIN weights AS w ON w.model_id = f.model_id AND w.class_idx <> f.class_idx
    JOIN (
        SELECT c.*
        FROM (SELECT model_id, class_idx, label, concept, bias, mean, std, norm FROM classes) AS c
        WHERE typeof(keep) = '"NULL"' OR keep
    ) AS o ON o.model_id = f.model_id AND o.class_idx = w.class_idx
)
SELECT
    f.name AS model,
    f.label AS class,
    (row_number() OVER (ORDER BY n.cosine DESC, n.neighbor_idx))::INTEGER AS rank,
    o.label AS neighbor,
    o.concept AS neighbor_concept,
    n.cosine,
    euclidean(n.cosine, f.norm, o.norm) AS euclidean
FROM focal AS f
JOIN (SELECT x.* FROM found AS x ORDER BY x.cosine DESC, x.neighbor_idx LIMIT k) AS n ON true
JOIN classes AS o ON o.model_id = f.model_id AND o.class_idx = n.neighbor_idx
ORDER BY 3;
