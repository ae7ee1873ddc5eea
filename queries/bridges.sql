-- The classes of one model that are near two others which are far from each other.
--
-- model  VARCHAR        a model's name
-- k      INTEGER := 10  the two are among the class's k nearest, k from 2 to 100
--
-- Example: FROM bridges('efficientnet_lite0') LIMIT 20
--
-- Reading it: side_a and side_b are the two neighbours for which the gap is widest: the smaller of
-- their cosines with the class, less their cosine with each other. A gap well above 0 means that the
-- class joins two groups that have little to do with each other; at or below 0 its neighbours are as
-- close to each other as to it, and the class lies inside one group.
CREATE OR REPLACE MACRO bridges(model, k := 10) AS TABLE
WITH focal AS MATERIALIZED (
    SELECT m.model_id, m.n_pairs FROM models AS m WHERE m.name = model
),
near AS MATERIALIZED (
    SELECT n.model_id, n.class_idx, n.rank, n.neighbor_idx, n.cosine
    FROM neighbors AS n
    WHERE n.model_id IN (SELECT f.model_id FROM focal AS f) AND n.rank <= stored_rank(k)
),
sides AS MATERIALIZED (
    SELECT
        x.model_id, x.class_idx, x.neighbor_idx AS a, y.neighbor_idx AS b,
        x.cosine AS cosine_a, y.cosine AS cosine_b
    FROM near AS x
    JOIN near AS y ON y.class_idx = x.class_idx AND y.rank > x.rank
),
vectors AS (
    SELECT w.class_idx, w.vector
    FROM weights AS w
    WHERE w.model_id IN (SELECT f.model_id FROM focal AS f WHERE f.n_pairs = 0)
),
between_sides AS (
    SELECT p.a, p.b, p.cosine
    FROM pairs AS p
    WHERE p.model_id IN (SELECT f.model_id FROM focal AS f)
    UNION ALL
    SELECT v.class_idx, u.class_idx, cosine_of(v.vector, u.vector)
    FROM (SELECT DISTINCT least(s.a, s.b) AS a, greatest(s.a, s.b) AS b FROM sides AS s) AS w
    JOIN vectors AS v ON v.class_idx = w.a
    JOIN vectors AS u ON u.class_idx = w.b
),
best AS MATERIALIZED (
    SELECT
        s.model_id,
        s.class_idx,
        arg_max(
            {'a': s.a, 'b': s.b, 'cosine_a': s.cosine_a, 'cosine_b': s.cosine_b, 'between': t.cosine},
            least(s.cosine_a, s.cosine_b) - t.cosine
        ) AS pair,
        max(least(s.cosine_a, s.cosine_b) - t.cosine) AS gap
    FROM sides AS s
    JOIN between_sides AS t ON t.a = least(s.a, s.b) AND t.b = greatest(s.a, s.b)
    GROUP BY s.model_id, s.class_idx
),
names AS MATERIALIZED (
    SELECT c.class_idx, c.label
    FROM classes AS c
    WHERE c.model_id IN (SELECT f.model_id FROM focal AS f)
)
SELECT
    m.name AS model,
    c.label AS class,
    a.label AS side_a,
    b.label AS side_b,
    x.pair.cosine_a AS cosine_a,
    x.pair.cosine_b AS cosine_b,
    x.pair.between AS cosine_between,
    x.gap
FROM best AS x
JOIN models AS m ON m.model_id = x.model_id
JOIN names AS c ON c.class_idx = x.class_idx
JOIN names AS a ON a.class_idx = x.pair.a
JOIN names AS b ON b.class_idx = x.pair.b
ORDER BY x.gap DESC, x.class_idx;
