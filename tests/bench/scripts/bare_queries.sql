-- What the named queries answer, written by hand on the base tables: the same columns and rows.
--
-- Each is headed by the question it answers, and by the time that the question may take. They ask
-- less than the named queries do: labels must be spelled exactly, and every model is known to have
-- its pairs stored, the same classes under the same indices and the same normalisation, so that an
-- index means one class everywhere and model 1 has every name.

-- FROM neighbors('model007', 'Dungeness crab'), under 10 ms
SELECT
    m.name AS model, c.label AS class, n.rank, o.label AS neighbor, o.concept AS neighbor_concept,
    n.cosine,
    sqrt(greatest(0, c.norm ** 2 + o.norm ** 2 - 2 * c.norm * o.norm * n.cosine))::FLOAT AS euclidean
FROM models AS m
JOIN classes AS c ON c.model_id = m.model_id
JOIN neighbors AS n ON n.model_id = c.model_id AND n.class_idx = c.class_idx
JOIN classes AS o ON o.model_id = n.model_id AND o.class_idx = n.neighbor_idx
WHERE m.name = 'model007' AND c.label = 'Dungeness crab' AND n.rank <= 25
ORDER BY n.rank;

-- FROM distance('Dungeness crab', 'king crab'), under 10 ms
SELECT
    m.name AS model, a.label AS class_a, b.label AS class_b, p.cosine,
    sqrt(greatest(0, a.norm ** 2 + b.norm ** 2 - 2 * a.norm * b.norm * p.cosine))::FLOAT AS euclidean,
    m.normalization
FROM models AS m
JOIN classes AS a ON a.model_id = m.model_id
JOIN classes AS b ON b.model_id = m.model_id
JOIN pairs AS p
  ON p.model_id = m.model_id
 AND p.a = least(a.class_idx, b.class_idx)
 AND p.b = greatest(a.class_idx, b.class_idx)
WHERE a.label = 'Dungeness crab' AND b.label = 'king crab'
ORDER BY m.model_id;

-- FROM label_search('crab'), under 10 ms
WITH found AS (
    SELECT label, concept, count(*) AS n FROM classes GROUP BY label, concept
)
SELECT
    label AS class,
    concept,
    CASE
        WHEN lower(label) = 'crab' THEN 1
        WHEN starts_with(lower(label), 'crab') THEN 0.9 + 0.1 * length('crab') / length(label)
        WHEN contains(lower(label), 'crab') THEN 0.8 + 0.1 * length('crab') / length(label)
        ELSE 0.8 * jaro_winkler_similarity(lower(label), 'crab')
    END::DOUBLE AS score,
    n
FROM found
ORDER BY score DESC, label, concept
LIMIT 25;

-- FROM rank_shift('Dungeness crab', 'model003', 'model007'), under 150 ms
WITH cosines AS (
    SELECT m.name, p.b AS other_idx, p.cosine
    FROM models AS m
    JOIN classes AS c ON c.model_id = m.model_id
    JOIN pairs AS p ON p.model_id = m.model_id AND p.a = c.class_idx
    WHERE m.name IN ('model003', 'model007') AND c.label = 'Dungeness crab'
    UNION ALL
    SELECT m.name, p.a, p.cosine
    FROM models AS m
    JOIN classes AS c ON c.model_id = m.model_id
    JOIN pairs AS p ON p.model_id = m.model_id AND p.b = c.class_idx
    WHERE m.name IN ('model003', 'model007') AND c.label = 'Dungeness crab'
),
both_models AS (
    SELECT
        x.other_idx,
        x.cosine AS cosine_a,
        y.cosine AS cosine_b,
        (row_number() OVER (ORDER BY x.cosine DESC, x.other_idx))::INTEGER AS rank_a,
        (row_number() OVER (ORDER BY y.cosine DESC, y.other_idx))::INTEGER AS rank_b
    FROM cosines AS x
    JOIN cosines AS y ON y.other_idx = x.other_idx
    WHERE x.name = 'model003' AND y.name = 'model007'
)
SELECT
    o.label AS neighbor, o.concept AS neighbor_concept, j.rank_a, j.rank_b,
    j.rank_b - j.rank_a AS shift, j.cosine_a, j.cosine_b
FROM both_models AS j
JOIN classes AS o ON o.model_id = 1 AND o.class_idx = j.other_idx
WHERE j.rank_a <= 25 OR j.rank_b <= 25
ORDER BY least(j.rank_a, j.rank_b), j.rank_a;

-- FROM pair_spread('Dungeness crab', class_b := 'king crab', models := ['model003', 'model007']), under 150 ms
SELECT
    min(a.label) AS class_a, min(b.label) AS class_b, m.normalization, count(*) AS n,
    avg(p.cosine::DOUBLE) AS mean, stddev_samp(p.cosine::DOUBLE) AS sd,
    min(p.cosine) AS low, arg_min(m.name, p.cosine) AS low_model,
    max(p.cosine) AS high, arg_max(m.name, p.cosine) AS high_model
FROM models AS m
JOIN classes AS a ON a.model_id = m.model_id
JOIN classes AS b ON b.model_id = m.model_id
JOIN pairs AS p
  ON p.model_id = m.model_id
 AND p.a = least(a.class_idx, b.class_idx)
 AND p.b = greatest(a.class_idx, b.class_idx)
WHERE m.name IN ('model003', 'model007') AND a.label = 'Dungeness crab' AND b.label = 'king crab'
GROUP BY m.normalization;

-- FROM pair_spread('Dungeness crab', class_b := 'king crab'), under 3 s
SELECT
    min(a.label) AS class_a, min(b.label) AS class_b, m.normalization, count(*) AS n,
    avg(p.cosine::DOUBLE) AS mean, stddev_samp(p.cosine::DOUBLE) AS sd,
    min(p.cosine) AS low, arg_min(m.name, p.cosine) AS low_model,
    max(p.cosine) AS high, arg_max(m.name, p.cosine) AS high_model
FROM models AS m
JOIN classes AS a ON a.model_id = m.model_id
JOIN classes AS b ON b.model_id = m.model_id
JOIN pairs AS p
  ON p.model_id = m.model_id
 AND p.a = least(a.class_idx, b.class_idx)
 AND p.b = greatest(a.class_idx, b.class_idx)
WHERE a.label = 'Dungeness crab' AND b.label = 'king crab'
GROUP BY m.normalization;

-- FROM pair_spread('Dungeness crab'), under 3 s
WITH cosines AS (
    SELECT c.model_id, p.b AS other_idx, p.cosine
    FROM classes AS c
    JOIN pairs AS p ON p.model_id = c.model_id AND p.a = c.class_idx
    WHERE c.label = 'Dungeness crab'
    UNION ALL
    SELECT c.model_id, p.a, p.cosine
    FROM classes AS c
    JOIN pairs AS p ON p.model_id = c.model_id AND p.b = c.class_idx
    WHERE c.label = 'Dungeness crab'
),
spread AS (
    SELECT
        x.other_idx, m.normalization, count(*) AS n,
        avg(x.cosine::DOUBLE) AS mean, stddev_samp(x.cosine::DOUBLE) AS sd,
        min(x.cosine) AS low, arg_min(m.name, x.cosine) AS low_model,
        max(x.cosine) AS high, arg_max(m.name, x.cosine) AS high_model
    FROM cosines AS x
    JOIN models AS m ON m.model_id = x.model_id
    GROUP BY x.other_idx, m.normalization
)
SELECT
    'Dungeness crab' AS class_a, o.label AS class_b, s.normalization, s.n,
    s.mean, s.sd, s.low, s.low_model, s.high, s.high_model
FROM spread AS s
JOIN classes AS o ON o.model_id = 1 AND o.class_idx = s.other_idx
ORDER BY s.sd DESC NULLS LAST, o.label, s.normalization;

-- FROM consensus_neighbors('Dungeness crab'), under 3 s
WITH cosines AS (
    SELECT c.model_id, p.b AS other_idx, p.cosine
    FROM classes AS c
    JOIN pairs AS p ON p.model_id = c.model_id AND p.a = c.class_idx
    WHERE c.label = 'Dungeness crab'
    UNION ALL
    SELECT c.model_id, p.a, p.cosine
    FROM classes AS c
    JOIN pairs AS p ON p.model_id = c.model_id AND p.b = c.class_idx
    WHERE c.label = 'Dungeness crab'
),
ranked AS (
    SELECT
        other_idx,
        cosine,
        row_number() OVER (PARTITION BY model_id ORDER BY cosine DESC, other_idx) AS place
    FROM cosines
),
gathered AS (
    SELECT
        other_idx, count(*) AS n,
        avg(place) AS mean_rank, min(place) AS best_rank, max(place) AS worst_rank,
        avg(cosine::DOUBLE) AS mean_cosine, stddev_samp(cosine::DOUBLE) AS sd_cosine
    FROM ranked
    GROUP BY other_idx
)
SELECT
    'Dungeness crab' AS class,
    (row_number() OVER (ORDER BY g.mean_rank, o.concept))::INTEGER AS rank,
    o.label AS neighbor, o.concept AS neighbor_concept, g.n,
    g.mean_rank, g.best_rank, g.worst_rank, g.mean_cosine, g.sd_cosine
FROM gathered AS g
JOIN classes AS o ON o.model_id = 1 AND o.class_idx = g.other_idx
ORDER BY g.mean_rank, o.concept
LIMIT 25;

-- FROM outlier_models('Dungeness crab'), under 3 s
WITH cosines AS (
    SELECT c.model_id, p.b AS other_idx, p.cosine::DOUBLE AS cosine
    FROM classes AS c
    JOIN pairs AS p ON p.model_id = c.model_id AND p.a = c.class_idx
    WHERE c.label = 'Dungeness crab'
    UNION ALL
    SELECT c.model_id, p.a, p.cosine
    FROM classes AS c
    JOIN pairs AS p ON p.model_id = c.model_id AND p.b = c.class_idx
    WHERE c.label = 'Dungeness crab'
),
totals AS (
    SELECT other_idx, sum(cosine) AS total, count(*) AS n FROM cosines GROUP BY other_idx
),
compared AS (
    SELECT x.model_id, x.cosine, (t.total - x.cosine) / (t.n - 1) AS others
    FROM cosines AS x
    JOIN totals AS t ON t.other_idx = x.other_idx
)
SELECT
    m.name AS model, m.normalization, count(*) AS n,
    corr(x.cosine, x.others) AS correlation, avg(abs(x.cosine - x.others)) AS mean_difference
FROM compared AS x
JOIN models AS m ON m.model_id = x.model_id
GROUP BY m.model_id, m.name, m.normalization
ORDER BY correlation NULLS LAST, m.model_id;

-- FROM mutual_neighbors('model007')
SELECT
    m.name AS model, a.label AS class_a, b.label AS class_b, n.rank AS rank_a, o.rank AS rank_b,
    n.cosine,
    sqrt(greatest(0, a.norm ** 2 + b.norm ** 2 - 2 * a.norm * b.norm * n.cosine))::FLOAT AS euclidean
FROM models AS m
JOIN neighbors AS n ON n.model_id = m.model_id
JOIN neighbors AS o
  ON o.model_id = n.model_id AND o.class_idx = n.neighbor_idx AND o.neighbor_idx = n.class_idx
JOIN classes AS a ON a.model_id = n.model_id AND a.class_idx = n.class_idx
JOIN classes AS b ON b.model_id = n.model_id AND b.class_idx = n.neighbor_idx
WHERE m.name = 'model007' AND n.class_idx < n.neighbor_idx AND n.rank <= 10 AND o.rank <= 10
ORDER BY n.cosine DESC, n.class_idx, n.neighbor_idx;

-- FROM bridges('model007')
WITH near AS (
    SELECT n.class_idx, n.rank, n.neighbor_idx, n.cosine
    FROM models AS m
    JOIN neighbors AS n ON n.model_id = m.model_id
    WHERE m.name = 'model007' AND n.rank <= 10
),
cosines AS (
    SELECT p.a, p.b, p.cosine
    FROM models AS m
    JOIN pairs AS p ON p.model_id = m.model_id
    WHERE m.name = 'model007'
),
best AS (
    SELECT
        x.class_idx,
        max(least(x.cosine, y.cosine) - p.cosine) AS gap,
        arg_max(
            {
                'a': x.neighbor_idx, 'b': y.neighbor_idx,
                'cosine_a': x.cosine, 'cosine_b': y.cosine, 'cosine_between': p.cosine
            },
            least(x.cosine, y.cosine) - p.cosine
        ) AS sides
    FROM near AS x
    JOIN near AS y ON y.class_idx = x.class_idx AND y.rank > x.rank
    JOIN cosines AS p
      ON p.a = least(x.neighbor_idx, y.neighbor_idx)
     AND p.b = greatest(x.neighbor_idx, y.neighbor_idx)
    GROUP BY x.class_idx
)
SELECT
    'model007' AS model, c.label AS class, a.label AS side_a, b.label AS side_b,
    x.sides.cosine_a, x.sides.cosine_b, x.sides.cosine_between, x.gap
FROM best AS x
JOIN classes AS c ON c.model_id = 1 AND c.class_idx = x.class_idx
JOIN classes AS a ON a.model_id = 1 AND a.class_idx = x.sides.a
JOIN classes AS b ON b.model_id = 1 AND b.class_idx = x.sides.b
ORDER BY x.gap DESC, x.class_idx;

-- FROM hubs(), under 3 s
WITH counted AS (
    SELECT c.model_id, c.class_idx, c.label, c.concept, coalesce(n.occurrences, 0) AS occurrences
    FROM classes AS c
    LEFT JOIN (
        SELECT model_id, neighbor_idx, count(*) AS occurrences
        FROM neighbors
        WHERE rank <= 10
        GROUP BY model_id, neighbor_idx
    ) AS n ON n.model_id = c.model_id AND n.neighbor_idx = c.class_idx
),
moments AS (
    SELECT
        model_id,
        avg(occurrences) AS first,
        avg(occurrences ** 2) AS second,
        avg(occurrences ** 3) AS third
    FROM counted
    GROUP BY model_id
)
SELECT
    m.name AS model, c.label AS class, c.concept, c.occurrences,
    c.occurrences / (m.n_classes - 1) AS share,
    (o.third - 3 * o.first * o.second + 2 * o.first ** 3) / (o.second - o.first ** 2) ** 1.5 AS skewness
FROM counted AS c
JOIN models AS m ON m.model_id = c.model_id
JOIN moments AS o ON o.model_id = c.model_id
ORDER BY c.model_id, c.occurrences DESC, c.class_idx;

-- FROM isolated_classes(), under 3 s
WITH isolated AS (
    SELECT
        model_id, class_idx, neighbor_idx, cosine,
        (row_number() OVER (PARTITION BY model_id ORDER BY cosine, class_idx))::INTEGER AS place
    FROM neighbors
    WHERE rank = 1
    QUALIFY place <= 25
),
means AS (
    SELECT n.model_id, n.class_idx, avg(n.cosine::DOUBLE) AS mean_cosine
    FROM isolated AS x
    JOIN neighbors AS n ON n.model_id = x.model_id AND n.class_idx = x.class_idx
    WHERE n.rank <= 10
    GROUP BY n.model_id, n.class_idx
)
SELECT
    m.name AS model, c.label AS class, c.concept, x.place AS rank, o.label AS neighbor,
    x.cosine, y.mean_cosine
FROM isolated AS x
JOIN models AS m ON m.model_id = x.model_id
JOIN means AS y ON y.model_id = x.model_id AND y.class_idx = x.class_idx
JOIN classes AS c ON c.model_id = x.model_id AND c.class_idx = x.class_idx
JOIN classes AS o ON o.model_id = x.model_id AND o.class_idx = x.neighbor_idx
ORDER BY x.model_id, x.place;

-- FROM near_duplicates(), under 3 s
SELECT
    m.name AS model, a.label AS class_a, b.label AS class_b, p.cosine,
    sqrt(greatest(0, a.norm ** 2 + b.norm ** 2 - 2 * a.norm * b.norm * p.cosine))::FLOAT AS euclidean
FROM pairs AS p
JOIN models AS m ON m.model_id = p.model_id
JOIN classes AS a ON a.model_id = p.model_id AND a.class_idx = p.a
JOIN classes AS b ON b.model_id = p.model_id AND b.class_idx = p.b
WHERE p.cosine >= 0.5
ORDER BY p.cosine DESC, p.model_id, p.a, p.b;

-- FROM similarity_histogram(), under 3 s
WITH counted AS (
    SELECT model_id, least(floor((cosine::DOUBLE + 1) * 20)::INTEGER, 39) AS bin, count(*) AS n
    FROM pairs
    GROUP BY ALL
)
SELECT
    m.name AS model, (2 * c.bin - 40) / 40 AS low, (2 * c.bin - 38) / 40 AS high, c.n,
    c.n / m.n_pairs AS share
FROM counted AS c
JOIN models AS m ON m.model_id = c.model_id
ORDER BY c.model_id, c.bin;

-- FROM model_summary(), under 3 s
SELECT
    m.name AS model, m.n_classes AS classes, m.dim, m.label_space, m.normalization,
    m.n_pairs AS pairs, p.mean, p.sd, p.low, p.high,
    -1 / (m.n_classes - 1) AS null_mean, 1 / sqrt(m.dim - 1) AS null_sd, n.mean_nearest
FROM models AS m
JOIN (
    SELECT
        model_id,
        avg(cosine::DOUBLE) AS mean, stddev_pop(cosine::DOUBLE) AS sd,
        min(cosine) AS low, max(cosine) AS high
    FROM pairs
    GROUP BY model_id
) AS p ON p.model_id = m.model_id
JOIN (
    SELECT model_id, avg(cosine::DOUBLE) AS mean_nearest FROM neighbors WHERE rank = 1 GROUP BY model_id
) AS n ON n.model_id = m.model_id
ORDER BY m.model_id;

-- FROM consensus_pairs(models := ['model003', 'model007']), under 150 ms
SELECT x.label AS class_a, y.label AS class_b, t.normalization, t.n, t.mean, t.sd, t.low, t.high
FROM (
    SELECT
        m.normalization, p.a, p.b, count(*) AS n,
        avg(p.cosine::DOUBLE) AS mean, stddev_samp(p.cosine::DOUBLE) AS sd,
        min(p.cosine) AS low, max(p.cosine) AS high
    FROM pairs AS p
    JOIN models AS m ON m.model_id = p.model_id
    WHERE m.name IN ('model003', 'model007')
    GROUP BY m.normalization, p.a, p.b
    HAVING count(*) >= 2
    ORDER BY mean DESC, p.a, p.b
    LIMIT 25
) AS t
JOIN classes AS x ON x.model_id = 1 AND x.class_idx = t.a
JOIN classes AS y ON y.model_id = 1 AND y.class_idx = t.b
ORDER BY t.mean DESC, t.a, t.b;

-- FROM consensus_pairs(), under 3 s
SELECT x.label AS class_a, y.label AS class_b, t.normalization, t.n, t.mean, t.sd, t.low, t.high
FROM (
    SELECT
        m.normalization, p.a, p.b, count(*) AS n,
        avg(p.cosine::DOUBLE) AS mean, stddev_samp(p.cosine::DOUBLE) AS sd,
        min(p.cosine) AS low, max(p.cosine) AS high
    FROM pairs AS p
    JOIN models AS m ON m.model_id = p.model_id
    GROUP BY m.normalization, p.a, p.b
    HAVING count(*) >= 2
    ORDER BY mean DESC, p.a, p.b
    LIMIT 25
) AS t
JOIN classes AS x ON x.model_id = 1 AND x.class_idx = t.a
JOIN classes AS y ON y.model_id = 1 AND y.class_idx = t.b
ORDER BY t.mean DESC, t.a, t.b;

-- FROM contested_pairs(models := ['model003', 'model007']), under 150 ms
WITH top AS MATERIALIZED (
    SELECT
        m.normalization, p.a, p.b, count(*) AS n,
        avg(p.cosine::DOUBLE) AS mean, stddev_samp(p.cosine::DOUBLE) AS sd,
        min(p.cosine) AS low, max(p.cosine) AS high
    FROM pairs AS p
    JOIN models AS m ON m.model_id = p.model_id
    WHERE m.name IN ('model003', 'model007')
    GROUP BY m.normalization, p.a, p.b
    HAVING count(*) >= 2
    ORDER BY sd DESC, p.a, p.b
    LIMIT 25
),
extremes AS (
    SELECT t.a, t.b, arg_min(m.name, p.cosine) AS low_model, arg_max(m.name, p.cosine) AS high_model
    FROM top AS t
    JOIN pairs AS p ON p.a = t.a AND p.b = t.b
    JOIN models AS m ON m.model_id = p.model_id
    WHERE m.name IN ('model003', 'model007')
    GROUP BY t.a, t.b
)
SELECT
    x.label AS class_a, y.label AS class_b, t.normalization, t.n, t.mean, t.sd,
    t.low, e.low_model, t.high, e.high_model
FROM top AS t
JOIN extremes AS e ON e.a = t.a AND e.b = t.b
JOIN classes AS x ON x.model_id = 1 AND x.class_idx = t.a
JOIN classes AS y ON y.model_id = 1 AND y.class_idx = t.b
ORDER BY t.sd DESC, t.a, t.b;

-- FROM contested_pairs(), under 3 s
WITH top AS MATERIALIZED (
    SELECT
        m.normalization, p.a, p.b, count(*) AS n,
        avg(p.cosine::DOUBLE) AS mean, stddev_samp(p.cosine::DOUBLE) AS sd,
        min(p.cosine) AS low, max(p.cosine) AS high
    FROM pairs AS p
    JOIN models AS m ON m.model_id = p.model_id
    GROUP BY m.normalization, p.a, p.b
    HAVING count(*) >= 2
    ORDER BY sd DESC, p.a, p.b
    LIMIT 25
),
extremes AS (
    SELECT t.a, t.b, arg_min(m.name, p.cosine) AS low_model, arg_max(m.name, p.cosine) AS high_model
    FROM top AS t
    JOIN pairs AS p ON p.a = t.a AND p.b = t.b
    JOIN models AS m ON m.model_id = p.model_id
    GROUP BY t.a, t.b
)
SELECT
    x.label AS class_a, y.label AS class_b, t.normalization, t.n, t.mean, t.sd,
    t.low, e.low_model, t.high, e.high_model
FROM top AS t
JOIN extremes AS e ON e.a = t.a AND e.b = t.b
JOIN classes AS x ON x.model_id = 1 AND x.class_idx = t.a
JOIN classes AS y ON y.model_id = 1 AND y.class_idx = t.b
ORDER BY t.sd DESC, t.a, t.b;
