-- The tree that clustering makes of a model's classes, and taxonomies to hold it against.

-- Which trees there are, and how their leaves were put in order.
CREATE TABLE trees (
    model_id INTEGER NOT NULL,
    method   VARCHAR NOT NULL,     -- ward, average, complete, single, weighted, centroid, median
    distance VARCHAR NOT NULL,     -- chord, condensed, profile, euclidean
    ordering VARCHAR NOT NULL      -- optimal, projection
);

-- The linkage matrix of one model, by linkage method and distance. Nodes 0 to C-1 are its classes, by
-- class_idx; C, C+1, … the merges in their order; the root is 2C-2.
CREATE TABLE merges (
    model_id   INTEGER NOT NULL,
    method     VARCHAR NOT NULL,
    distance   VARCHAR NOT NULL,
    node       INTEGER NOT NULL,   -- what this merge makes
    left_node  INTEGER NOT NULL,
    right_node INTEGER NOT NULL,
    height     DOUBLE NOT NULL,    -- the distance at which the two were joined
    size       INTEGER NOT NULL,   -- classes under the node
    first      INTEGER NOT NULL    -- the place of the first of them: they are leaves first … first + size - 1
);

-- The order of the leaves in which no branches cross and like stands by like.
CREATE TABLE leaves (
    model_id  INTEGER NOT NULL,
    method    VARCHAR NOT NULL,
    distance  VARCHAR NOT NULL,
    class_idx INTEGER NOT NULL,
    place     INTEGER NOT NULL     -- from 0
);

-- How often a clade of that tree is found again: in resamples of the dimensions, or in other models.
CREATE TABLE clade_support (
    model_id INTEGER NOT NULL,
    method   VARCHAR NOT NULL,
    distance VARCHAR NOT NULL,
    node     INTEGER NOT NULL,
    kind     VARCHAR NOT NULL,     -- dimensions, models
    support  DOUBLE NOT NULL,      -- the share that has the very same clade
    nearly   DOUBLE,               -- of models: the share that has it or one with F1 of at least 0.8
    n        INTEGER NOT NULL,     -- resamples, or other models
    seed     BIGINT                -- of the resamples
);

CREATE TABLE taxonomies (
    taxonomy VARCHAR NOT NULL UNIQUE,
    kind     VARCHAR NOT NULL,     -- wordnet, lineage, edges, newick
    source   VARCHAR NOT NULL,     -- where it was read
    added_at TIMESTAMP NOT NULL    -- UTC
);

CREATE TABLE taxa (
    taxonomy VARCHAR NOT NULL,
    taxon    VARCHAR NOT NULL,     -- its key, one within the taxonomy
    label    VARCHAR NOT NULL,
    rank     VARCHAR,              -- genus, family, …; NULL where the taxonomy has none
    depth    INTEGER NOT NULL      -- edges from the root, by the longest way: a taxon is deeper than its parents
);

-- A taxon may stand under several.
CREATE TABLE taxon_parents (
    taxonomy VARCHAR NOT NULL,
    taxon    VARCHAR NOT NULL,
    parent   VARCHAR NOT NULL,
    length   DOUBLE                -- of the branch; NULL where the taxonomy has none
);

-- The names that make a class one of a taxon, as taxon_name() spells them: its concept is one of these.
CREATE TABLE taxon_names (
    taxonomy VARCHAR NOT NULL,
    name     VARCHAR NOT NULL,
    taxon    VARCHAR NOT NULL
);
