-- The classes nearest to one class over all models: by the Fisher mean of their cosines.
--
-- class    VARCHAR            a label in any case, else a concept, else an index
-- k        INTEGER := 25      how many
-- models   VARCHAR[] := NULL  only these models
-- weights  DOUBLE[] := NULL   what each of `models` counts, in their order; 0 leaves a model out
-- least    INTEGER := 1       only classes that at least so many models know
-- keep     CONDITION := NULL  a condition on the classes that may answer, over the columns label,
--                             concept, class_idx, bias, mean, std and norm; there are still k answers
-- exclude  VARCHAR[] := NULL  without these models
--
-- Example: FROM consensus('Dungeness crab', k := 10)
-- Example: FROM consensus('Dungeness crab', models := ['efficientnet_lite0', 'efficientnet_lite2'], weights := [1, 3])
-- Example: FROM consensus('n01978287', exclude := ['efficientnet_lite1'], least := 2)
--
-- Reading it: z = atanh(cosine) is Fisher's transformation (1921), which undoes the crowding of cosines
-- towards 1 and -1. cosine is tanh of the mean z over the n models that know both classes, weighted by
-- their weights w, and rank goes by that mean. sd is the sample standard deviation of z, on the scale of
-- z: the root of sum(w (z - mean)^2) / (sum(w) - sum(w^2) / sum(w)), which for equal weights has n - 1
-- below the line, and NULL where n is 1. low and high are the extremes of the cosine, with the models
-- that hold them. A class near the top with n of 1 may be there for that one model's sake: see least.
-- Classes are matched by concept, and concepts that concept_map declares the same are one; the class
-- asked for is looked up in each model by itself, so give its concept where label spaces differ. Models
-- normalised in different ways have no common mean: that is an error.
CREATE OR REPLACE MACRO consensus(
    class, k := 25, models := NULL, weights := NULL, least := 1, keep := NULL, exclude := NULL
) AS TABLE
WITH weighed AS (
    -- weights by their share of the largest, so that no sum of them overflows
    SELECT
        m.model_id,
        m.name,
        CASE
            WHEN weights IS NULL THEN 1
            ELSE (weights::DOUBLE[])[list_position(models, m.name)] / list_max(weights::DOUBLE[])
        END AS weight
    FROM models AS m
    WHERE (models IS NULL OR list_contains(models, m.name))
      AND (exclude IS NULL OR NOT list_contains(exclude, m.name))
),
chosen AS (
    SELECT w.model_id, w.name, w.weight FROM weighed AS w WHERE w.weight > 0
),
-- one row: the class asked for, how the models that know it are normalised, and what is wrong
asked AS (
    SELECT
        arg_min(f.label, f.model_id) AS label,
        CASE
            WHEN least IS NULL OR least < 1
            THEN error('least is ' || coalesce(least::VARCHAR, 'NULL') || '; it is a number of models, from 1 on')
            WHEN weights IS NULL THEN NULL
            WHEN models IS NULL
            THEN error('weights without models; name the models that they are of, in the same order')
            WHEN len(weights) <> len(models)
            THEN error(len(weights) || ' weights for ' || len(models) || ' models; give each model one')
            WHEN len(list_distinct(models)) <> len(models)
            THEN error('weights for models of which one is NULL or named twice; name each model once')
            WHEN list_count(weights::DOUBLE[]) <> len(weights)
              OR NOT isfinite(list_max(weights::DOUBLE[]))
              OR list_min(weights::DOUBLE[]) < 0
            THEN error('weights are ' || weights::VARCHAR || '; a weight is a finite number, 0 or above')
            WHEN coalesce(list_max(weights::DOUBLE[]), 0) = 0 THEN error('the weights sum to 0; weigh a model')
            WHEN (SELECT coalesce(max(w.weight), 1) FROM weighed AS w) = 0
            THEN error('the weights of the models that are not excluded sum to 0; weigh a model')
        END AS fault,
        CASE
            WHEN count(DISTINCT f.normalization) > 1
            THEN error(
                'the models that know "' || class::VARCHAR || '" are normalised in different ways ('
                || string_agg(DISTINCT f.normalization, ', ' ORDER BY f.normalization)
                || '), and their cosines have no common mean; choose those of one with models or exclude'
            )
        END AS mixture
    FROM class_named(class, models := models) AS f
    JOIN chosen AS c ON c.model_id = f.model_id
),
cosines AS (
    SELECT
        x.model_id,
        c.name,
        c.weight,
        o.label,
        coalesce(t.concept, o.concept) AS concept,
        x.cosine,
        fisher_z(x.cosine) AS z
    FROM class_cosines(class, models := models) AS x
    JOIN chosen AS c ON c.model_id = x.model_id
    JOIN (
        SELECT p.*
        FROM (SELECT model_id, class_idx, label, concept, bias, mean, std, norm FROM classes) AS p
        WHERE typeof(keep) = '"NULL"' OR keep
    ) AS o ON o.model_id = x.model_id AND o.class_idx = x.other_idx
    LEFT JOIN mapped_classes AS t ON t.model_id = x.model_id AND t.class_idx = x.other_idx
    LEFT JOIN mapped_classes AS own ON own.model_id = x.model_id AND own.class_idx = x.class_idx
    WHERE t.doubled IS NOT TRUE
      AND coalesce(t.concept, o.concept) IS DISTINCT FROM own.concept
),
gathered AS (
    SELECT
        arg_min(c.label, c.model_id) AS label,
        c.concept,
        count(*) AS n,
        sum(c.weight) AS weight,
        sum(c.weight * c.weight) AS squared_weight,
        sum(c.weight * c.z) / sum(c.weight) AS z,
        sum(c.weight * c.z * c.z) AS squares,
        min(c.cosine) AS low,
        max(c.cosine) AS high,
        arg_min(c.name, (c.cosine, c.model_id)) AS low_model,
        arg_min(c.name, (-c.cosine, c.model_id)) AS high_model
    FROM cosines AS c
    GROUP BY c.concept
    HAVING count(*) >= coalesce(least, 1)
)
SELECT
    a.label AS class,
    -- what is summed in another order is the same but for its last digits
    (row_number() OVER (ORDER BY round(g.z, 12) DESC, g.concept))::INTEGER AS rank,
    g.label AS neighbor,
    g.concept AS neighbor_concept,
    g.n,
    tanh(g.z)::FLOAT AS cosine,
    CASE
        WHEN g.n > 1
        -- rounding may bring the difference below 0
        THEN sqrt(greatest(0, g.squares - g.weight * g.z ** 2) / nullif(g.weight - g.squared_weight / g.weight, 0))
    END AS sd,
    g.low,
    g.high,
    g.low_model,
    g.high_model
FROM gathered AS g
CROSS JOIN asked AS a
WHERE a.fault IS NULL AND a.mixture IS NULL
ORDER BY round(g.z, 12) DESC, g.concept
LIMIT k;
