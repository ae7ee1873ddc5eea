-- The k classes of one model whose weight rows point most nearly the same way as a given class.
--
-- model  VARCHAR          a model's name, as `FROM models` lists it
-- class  VARCHAR          a label in any case, else a concept such as a WordNet id, else an index;
--                         a number without quotes is always an index
-- k      INTEGER := 25    how many; the class itself is not its neighbour
--
-- Example: FROM neighbors('efficientnet_lite0', 'Dungeness crab', k := 25)
--
-- Reading it: cosine is 1 for the same direction, about 0 (exactly -1/(C-1) on average in a head
-- without structure) for unrelated classes, negative for classes the head holds apart. Euclidean is
-- the distance of the normalised rows. Up to k = 100 the stored neighbours answer; beyond, the
-- cosines are computed from the weights, with the same result. A label that several classes share
-- is an error: give the concept or the index.
CREATE OR REPLACE MACRO neighbors(model, class, k := 25) AS TABLE
WITH named AS (
    SELECT
        m.model_id,
        m.name,
        c.class_idx,
        c.label,
        c.norm,
        CASE
            WHEN typeof(class) <> 'VARCHAR' THEN 0
            WHEN c.label = class::VARCHAR THEN 1
            WHEN lower(c.label) = lower(class::VARCHAR) THEN 2
            WHEN c.concept = class::VARCHAR THEN 3
            ELSE 4
        END AS tier
    FROM models AS m
    JOIN classes AS c ON c.model_id = m.model_id
    WHERE m.name = model
      AND CASE
            WHEN typeof(class) <> 'VARCHAR' THEN c.class_idx::VARCHAR = class::VARCHAR
            ELSE lower(c.label) = lower(class::VARCHAR)
              OR c.concept = class::VARCHAR
              OR c.class_idx::VARCHAR = class::VARCHAR
          END
),
focal AS (
    SELECT *
    FROM named
    WHERE tier = (SELECT min(tier) FROM named)
    QUALIFY CASE
        WHEN count(*) OVER () > 1
        THEN error('"' || class::VARCHAR || '" names several classes; give the concept or the index')
                IS NULL
        ELSE true
    END
),
found AS (
    SELECT n.model_id, n.class_idx, n.rank, n.neighbor_idx, n.cosine
    FROM neighbors AS n
    JOIN focal AS f ON f.model_id = n.model_id AND f.class_idx = n.class_idx
    WHERE n.rank <= k AND k <= 100
    UNION ALL
    SELECT
        f.model_id,
        f.class_idx,
        row_number() OVER (PARTITION BY f.class_idx ORDER BY s.cosine DESC, s.neighbor_idx)::INTEGER,
        s.neighbor_idx,
        s.cosine
    FROM focal AS f
    JOIN (
        SELECT
            w.model_id,
            v.class_idx,
            w.class_idx AS neighbor_idx,
            cosine_of(w.vector, v.vector) AS cosine
        FROM weights AS w
        JOIN focal AS g ON g.model_id = w.model_id AND g.class_idx <> w.class_idx
        JOIN weights AS v ON v.model_id = g.model_id AND v.class_idx = g.class_idx
        WHERE k > 100
    ) AS s ON s.model_id = f.model_id AND s.class_idx = f.class_idx
    QUALIFY row_number() OVER (PARTITION BY f.class_idx ORDER BY s.cosine DESC, s.neighbor_idx) <= k
)
SELECT
    f.name AS model,
    f.label AS class,
    r.rank,
    o.label AS neighbor,
    o.concept AS neighbor_concept,
    r.cosine,
    euclidean(r.cosine, f.norm, o.norm) AS euclidean
FROM focal AS f
JOIN found AS r ON r.model_id = f.model_id AND r.class_idx = f.class_idx
JOIN classes AS o ON o.model_id = f.model_id AND o.class_idx = r.neighbor_idx
ORDER BY f.class_idx, r.rank;
