-- What models were found to have in common, what their users say of them, and which concepts are the
-- same under two names.

-- One measure of one pair of models, model_a < model_b.
CREATE TABLE comparisons (
    model_a       INTEGER NOT NULL,
    model_b       INTEGER NOT NULL,
    measure       VARCHAR NOT NULL,
    normalization VARCHAR NOT NULL,   -- of the rows that were compared: not always that of the models
    k             INTEGER,            -- neighbours, for the measures that count them; else NULL
    n             INTEGER NOT NULL,   -- shared classes
    estimate      DOUBLE,             -- NULL where it is not defined, as for constant profiles
    low           DOUBLE,             -- 95 % interval; NULL without resamples
    high          DOUBLE,
    p_value       DOUBLE,             -- NULL without permutations
    null_value    DOUBLE,             -- what the heads would give that have nothing in common
    permutations  INTEGER NOT NULL,
    resamples     INTEGER NOT NULL,
    seed          BIGINT NOT NULL
);

-- A user's own words for models, to group them by.
CREATE TABLE tags (
    model_id INTEGER NOT NULL,
    key      VARCHAR NOT NULL,
    value    VARCHAR NOT NULL
);

-- Concepts that are the same thing in two label spaces: concept_b is read as concept_a.
CREATE TABLE concept_map (
    concept_a VARCHAR NOT NULL UNIQUE,
    concept_b VARCHAR NOT NULL UNIQUE
);
