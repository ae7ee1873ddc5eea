-- The first schema. Migrations are numbered and append-only: a released one is never edited.

CREATE SEQUENCE model_ids;

CREATE TABLE models (
    model_id         INTEGER PRIMARY KEY,  -- never used again after a model is removed
    name             VARCHAR NOT NULL UNIQUE,
    source           VARCHAR NOT NULL,     -- torchvision, packaged, file
    uri              VARCHAR NOT NULL,     -- where the weights came from
    head_key         VARCHAR NOT NULL,     -- the weight tensor's name there
    label_space      VARCHAR NOT NULL,
    concepts_sha256  VARCHAR NOT NULL,     -- of the ordered concepts: equal where class_idx means the same
    normalization    VARCHAR NOT NULL,     -- standardize, center, none
    n_classes        INTEGER NOT NULL,
    dim              INTEGER NOT NULL,
    n_pairs          BIGINT NOT NULL,      -- rows in pairs; 0 when none were asked for
    weights_sha256   VARCHAR NOT NULL,     -- of the raw head as read, float32: weight, then bias
    rows_sha256      VARCHAR NOT NULL,     -- of the stored rows: what weights.vector must hash to
    bytes_read       BIGINT NOT NULL,
    bytes_total      BIGINT NOT NULL,
    ingested_at      TIMESTAMP NOT NULL,   -- UTC
    classrel_version VARCHAR NOT NULL,
    center           DOUBLE[]              -- what `center` subtracted from every row, else NULL
);

-- raw row = vector * scale + shift; shift is mean (standardize), models.center (center), 0 (none)
CREATE TABLE classes (
    model_id  INTEGER NOT NULL,
    class_idx INTEGER NOT NULL,
    label     VARCHAR NOT NULL,
    concept   VARCHAR NOT NULL,
    bias      FLOAT,
    mean      DOUBLE NOT NULL,   -- of the raw row
    std       DOUBLE NOT NULL,   -- of the raw row, ddof = 1
    norm      DOUBLE NOT NULL,   -- of the stored vector
    scale     DOUBLE NOT NULL
);

CREATE TABLE weights (
    model_id  INTEGER NOT NULL,
    class_idx INTEGER NOT NULL,
    vector    FLOAT[] NOT NULL
);

-- a < b, in the order (model_id, a, b)
CREATE TABLE pairs (
    model_id INTEGER NOT NULL,
    a        INTEGER NOT NULL,
    b        INTEGER NOT NULL,
    cosine   FLOAT NOT NULL
);

-- the 100 nearest of each class, rank 1 the nearest, in the order (model_id, class_idx, rank)
CREATE TABLE neighbors (
    model_id     INTEGER NOT NULL,
    class_idx    INTEGER NOT NULL,
    rank         INTEGER NOT NULL,
    neighbor_idx INTEGER NOT NULL,
    cosine       FLOAT NOT NULL
);
