-- Names instead of ids, for whoever reads the file with any DuckDB client; and what the queries of
-- queries/ share. All of it is made anew by every write.

CREATE OR REPLACE MACRO euclidean(cosine, norm_a, norm_b) AS
    sqrt(greatest(0, norm_a * norm_a + norm_b * norm_b - 2 * norm_a * norm_b * cosine::DOUBLE))::FLOAT;

-- In double precision, rounded to a grid of 2^-40 and then once to float, as the stored cosines are.
CREATE OR REPLACE MACRO cosine_of(vector_a, vector_b) AS
    ((list_cosine_similarity(vector_a::DOUBLE[], vector_b::DOUBLE[]) + 4096) - 4096)::FLOAT;

-- Fisher's z of a cosine, atanh (Fisher 1921, Metron 1): means are taken of it. Cosines nearer to ±1 than
-- 1e-7, which is what single precision tells apart there, count as ±(1 - 1e-7): no z is beyond ±8.41.
CREATE OR REPLACE MACRO fisher_z(cosine) AS
    atanh(greatest(-1 + 1e-7, least(1 - 1e-7, cosine::DOUBLE))::DOUBLE);

-- k where the stored neighbours can answer it, else an error
CREATE OR REPLACE MACRO stored_rank(k) AS
    CASE
        WHEN k BETWEEN 1 AND 100 THEN k
        ELSE error('k is ' || coalesce(k::VARCHAR, 'NULL') || '; it is from 1 to 100, the stored neighbours of a class')
    END;

-- every class, with its stored (normalised) row
CREATE OR REPLACE VIEW class_weights AS
SELECT
    m.name AS model,
    c.label AS class,
    c.class_idx,
    c.concept,
    c.bias,
    c.mean,
    c.std,
    c.norm,
    c.scale,
    w.vector
FROM models AS m
JOIN classes AS c ON c.model_id = m.model_id
JOIN weights AS w ON w.model_id = c.model_id AND w.class_idx = c.class_idx;

-- every stored neighbour: up to 100 of each class
CREATE OR REPLACE VIEW nearest AS
SELECT
    m.name AS model,
    c.label AS class,
    c.class_idx,
    c.concept,
    n.rank,
    o.label AS neighbor,
    n.neighbor_idx,
    o.concept AS neighbor_concept,
    n.cosine,
    euclidean(n.cosine, c.norm, o.norm) AS euclidean
FROM models AS m
JOIN neighbors AS n ON n.model_id = m.model_id
JOIN classes AS c ON c.model_id = m.model_id AND c.class_idx = n.class_idx
JOIN classes AS o ON o.model_id = m.model_id AND o.class_idx = n.neighbor_idx;

-- every stored pair, both ways round
CREATE OR REPLACE VIEW pairwise AS
SELECT
    m.name AS model,
    a.label AS class_a,
    b.label AS class_b,
    p.cosine,
    euclidean(p.cosine, a.norm, b.norm) AS euclidean,
    a.concept AS concept_a,
    b.concept AS concept_b
FROM models AS m
JOIN (
    SELECT model_id, a, b, cosine FROM pairs
    UNION ALL
    SELECT model_id, b, a, cosine FROM pairs
) AS p ON p.model_id = m.model_id
JOIN classes AS a ON a.model_id = m.model_id AND a.class_idx = p.a
JOIN classes AS b ON b.model_id = m.model_id AND b.class_idx = p.b;

-- The classes that concept_map has read as another concept, in one step. In a model that has that
-- concept itself they are `doubled`, and stand for nothing.
CREATE OR REPLACE VIEW mapped_classes AS
SELECT c.model_id, c.class_idx, m.concept_a AS concept, a.model_id IS NOT NULL AS doubled
FROM concept_map AS m
JOIN classes AS c ON c.concept = m.concept_b
LEFT JOIN classes AS a ON a.model_id = c.model_id AND a.concept = m.concept_a;

-- what `compare --all` has stored
CREATE OR REPLACE VIEW agreement AS
SELECT
    a.name AS model_a,
    b.name AS model_b,
    c.measure,
    c.n,
    c.estimate,
    c.low,
    c.high,
    c.p_value,
    c.null_value,
    c.normalization,
    c.k,
    c.permutations,
    c.resamples,
    c.seed
FROM comparisons AS c
JOIN models AS a ON a.model_id = c.model_a
JOIN models AS b ON b.model_id = c.model_b;

-- what users say of their models, with `tag`
CREATE OR REPLACE VIEW tagged_models AS
SELECT m.name AS model, t.key, t.value
FROM tags AS t
JOIN models AS m ON m.model_id = t.model_id;

-- A name as names of taxa are compared: in lower case, with single blanks, also for underscores.
CREATE OR REPLACE MACRO taxon_name(name) AS
    lower(trim(regexp_replace(name::VARCHAR, '[_[:space:]]+', ' ', 'g')));

-- which class is which taxon, in every taxonomy; a class that none of its names fits is not here
CREATE OR REPLACE VIEW class_taxa AS
SELECT
    m.name AS model,
    c.model_id,
    c.class_idx,
    c.label AS class,
    c.concept,
    n.taxonomy,
    n.taxon
FROM models AS m
JOIN classes AS c ON c.model_id = m.model_id
JOIN taxon_names AS n ON n.name = taxon_name(c.concept);

-- The class that a user means, in each of these models (NULL: in all) that has it, by `naming`.
-- Several classes of one model are an error. Where `class` is a concept that concept_map says is the
-- same as another, a model that has only the other has the class too.
CREATE OR REPLACE MACRO class_named(class, models := NULL) AS TABLE
SELECT
    b.model_id,
    b.best[1].name AS name,
    b.best[1].normalization AS normalization,
    b.best[1].n_pairs AS n_pairs,
    CASE
        WHEN b.best[1].tier = b.best[2].tier
        THEN error('"' || class::VARCHAR || '" names several classes; give the concept or the index')::INTEGER
        ELSE b.best[1].class_idx
    END AS class_idx,
    b.best[1].label AS label,
    b.best[1].concept AS concept,
    b.best[1].bias AS bias,
    b.best[1].mean AS mean,
    b.best[1].std AS std,
    b.best[1].norm AS norm
FROM (
    -- the two that fit best, to see a tie
    SELECT c.model_id, arg_min(c, c.tier, 2) AS best
    FROM (
        SELECT
            m.model_id,
            m.name,
            m.normalization,
            m.n_pairs,
            x.class_idx,
            x.label,
            x.concept,
            x.bias,
            x.mean,
            x.std,
            x.norm,
            CASE
                WHEN x.label = class::VARCHAR THEN 1
                WHEN lower(x.label) = lower(class::VARCHAR) THEN 2
                WHEN x.concept = class::VARCHAR THEN 3
                WHEN x.class_idx = try_cast(class AS DOUBLE) THEN 5
                ELSE 4
            END AS tier
        FROM models AS m
        JOIN classes AS x ON x.model_id = m.model_id
        WHERE (models IS NULL OR list_contains(models, m.name))
          AND CASE
                WHEN typeof(class) <> 'VARCHAR' THEN x.class_idx = try_cast(class AS DOUBLE)
                ELSE lower(x.label) = lower(class::VARCHAR)
                  OR x.concept = class::VARCHAR
                  OR x.concept IN (
                      SELECT s.concept_b FROM concept_map AS s WHERE s.concept_a = class::VARCHAR
                      UNION ALL
                      SELECT s.concept_a FROM concept_map AS s WHERE s.concept_b = class::VARCHAR
                  )
                  OR x.class_idx = try_cast(class AS DOUBLE)
              END
    ) AS c
    GROUP BY c.model_id
) AS b;

-- The rows of the models whose pairs are not stored.
CREATE OR REPLACE VIEW unpaired_weights AS
SELECT w.* FROM weights AS w WHERE w.model_id IN (SELECT m.model_id FROM models AS m WHERE m.n_pairs = 0);

-- The cosines of one class with every other, in each of these models that has it: from the stored
-- pairs, or from the weights where no pairs are stored.
CREATE OR REPLACE MACRO class_cosines(class, models := NULL) AS TABLE
WITH focal AS (
    SELECT n.* FROM class_named(class, models := models) AS n
)
SELECT f.model_id, f.name, f.normalization, f.class_idx, p.b AS other_idx, p.cosine
FROM focal AS f
JOIN pairs AS p ON p.model_id = f.model_id AND p.a = f.class_idx
UNION ALL
SELECT f.model_id, f.name, f.normalization, f.class_idx, p.a, p.cosine
FROM focal AS f
JOIN pairs AS p ON p.model_id = f.model_id AND p.b = f.class_idx
UNION ALL
SELECT f.model_id, f.name, f.normalization, f.class_idx, w.class_idx, cosine_of(w.vector, v.vector)
FROM focal AS f
JOIN unpaired_weights AS v ON v.model_id = f.model_id AND v.class_idx = f.class_idx
JOIN unpaired_weights AS w ON w.model_id = f.model_id AND w.class_idx <> f.class_idx;

-- The label spaces of these models under each normalisation. Models whose concepts are the same in
-- the same order share one, in which class_idx means the same; `model_id` is the first of them, `lone`
-- whether all models of that normalisation do, and `base` what makes numbers of the indices.
CREATE OR REPLACE MACRO label_spaces(models := NULL) AS TABLE
SELECT
    s.*,
    (sum(s.n_classes) OVER (ORDER BY s.space) - s.n_classes)::INTEGER AS base,
    count(*) OVER (PARTITION BY s.normalization) = 1 AS lone
FROM (
    SELECT
        m.normalization,
        m.concepts_sha256,
        min(m.model_id) AS model_id,
        any_value(m.n_classes) AS n_classes,
        row_number() OVER (ORDER BY m.normalization, m.concepts_sha256)::INTEGER AS space
    FROM models AS m
    WHERE models IS NULL OR list_contains(models, m.name)
    GROUP BY m.normalization, m.concepts_sha256
) AS s;

-- A number for each concept of these models under each normalisation: base + class_idx in the first
-- space that has it.
CREATE OR REPLACE MACRO concept_numbers(models := NULL) AS TABLE
SELECT
    s.space,
    s.normalization,
    c.class_idx,
    c.label,
    c.concept,
    (min(s.base + c.class_idx) OVER (PARTITION BY s.normalization, c.concept))::INTEGER AS number
FROM label_spaces(models := models) AS s
JOIN classes AS c ON c.model_id = s.model_id;

-- Each pair of concepts over these models, from the stored pairs, with how its cosine varies, and its
-- Fisher z. Models that are normalised in different ways are kept apart. a < b are numbers of
-- concept_numbers. What a query does not name of this is not computed.
CREATE OR REPLACE MACRO pair_statistics(models := NULL) AS TABLE
WITH spaces AS (
    SELECT s.* FROM label_spaces(models := models) AS s
),
chosen AS (
    SELECT m.model_id, s.space
    FROM models AS m
    JOIN spaces AS s ON s.normalization = m.normalization AND s.concepts_sha256 = m.concepts_sha256
    WHERE models IS NULL OR list_contains(models, m.name)
),
by_space AS (
    SELECT
        c.space,
        p.a,
        p.b,
        count(*) AS n,
        sum(p.cosine::DOUBLE) AS total,
        sum(p.cosine::DOUBLE * p.cosine::DOUBLE) AS squares,
        sum(fisher_z(p.cosine)) AS total_z,
        sum(fisher_z(p.cosine) ** 2) AS squares_z,
        min(p.cosine) AS low,
        max(p.cosine) AS high
    FROM pairs AS p
    JOIN chosen AS c ON c.model_id = p.model_id
    GROUP BY ALL
),
numbered AS (
    SELECT n.space, n.class_idx, n.number FROM concept_numbers(models := models) AS n
),
by_concept AS (
    -- the usual case, in which indices need no translation
    SELECT
        s.normalization,
        s.base + p.a AS a,
        s.base + p.b AS b,
        p.n,
        p.total,
        p.squares,
        p.total_z,
        p.squares_z,
        p.low,
        p.high
    FROM by_space AS p
    JOIN spaces AS s ON s.space = p.space AND s.lone
    UNION ALL
    SELECT
        s.normalization,
        least(x.number, y.number) AS a,
        greatest(x.number, y.number) AS b,
        sum(p.n)::BIGINT,
        sum(p.total),
        sum(p.squares),
        sum(p.total_z),
        sum(p.squares_z),
        min(p.low),
        max(p.high)
    FROM by_space AS p
    JOIN spaces AS s ON s.space = p.space AND NOT s.lone
    JOIN numbered AS x ON x.space = p.space AND x.class_idx = p.a
    JOIN numbered AS y ON y.space = p.space AND y.class_idx = p.b
    GROUP BY ALL
)
SELECT
    c.normalization,
    c.a,
    c.b,
    c.n,
    c.total / c.n AS mean,
    -- of a sample; rounding may bring the difference below 0
    CASE WHEN c.n > 1 THEN sqrt(greatest(0, c.squares - c.total ** 2 / c.n) / (c.n - 1)) END AS sd,
    c.total_z / c.n AS mean_z,
    CASE
        WHEN c.n > 1 THEN sqrt(greatest(0, c.squares_z - c.total_z ** 2 / c.n) / (c.n - 1))
    END AS sd_z,
    c.low,
    c.high
FROM by_concept AS c;

-- Every pair of concepts that is stored, over all models of one normalisation, both ways round: cosine
-- is the Fisher mean, tanh of the mean z, and sd the sample standard deviation of z, NULL where n is 1.
-- By the concepts as they are stored: concept_map is not asked. All pairs are gathered, whichever are
-- wanted: for one class ask consensus(), which is quick and also knows models without stored pairs.
CREATE OR REPLACE VIEW consensus_pairwise AS
WITH named AS (
    SELECT DISTINCT ON (n.number) n.number, n.label, n.concept
    FROM concept_numbers() AS n
    ORDER BY n.number, n.space
)
SELECT
    x.label AS class_a,
    y.label AS class_b,
    x.concept AS concept_a,
    y.concept AS concept_b,
    s.normalization,
    s.n,
    tanh(s.mean_z)::FLOAT AS cosine,
    s.sd_z AS sd,
    s.low,
    s.high
FROM pair_statistics() AS s
CROSS JOIN (VALUES (false), (true)) AS t (turned)
JOIN named AS x ON x.number = CASE WHEN t.turned THEN s.b ELSE s.a END
JOIN named AS y ON y.number = CASE WHEN t.turned THEN s.a ELSE s.b END;
