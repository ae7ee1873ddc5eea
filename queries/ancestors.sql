-- Every taxon above one, from itself up to the root.
--
-- taxon     VARCHAR               a taxon's key, else its label in any case, else the label (in any case)
--                                 or concept of a class of any model
-- taxonomy  VARCHAR := 'wordnet'  which taxonomy, as `FROM taxonomies` lists it
--
-- Example: FROM ancestors('Dungeness crab')
-- Example: FROM ancestors('n02084071')
--
-- Reading it: distance counts the edges of the shortest way up from the taxon, depth those of the
-- longest way from the root down to the ancestor, which is deeper than its own parents. Where a taxon
-- stands under several, as in WordNet, the ancestors are those of all of them, and distance and depth
-- need not add up to the depth of the taxon. A name that several taxa share is an error: give the key.
CREATE OR REPLACE MACRO ancestors(taxon, taxonomy := 'wordnet') AS TABLE
WITH RECURSIVE fitting AS (
    SELECT
        t.taxon,
        CASE WHEN t.taxon = taxon::VARCHAR THEN 1 WHEN t.label = taxon::VARCHAR THEN 2 ELSE 3 END AS tier
    FROM taxa AS t
    WHERE t.taxonomy = taxonomy
      AND (t.taxon = taxon::VARCHAR OR lower(t.label) = lower(taxon::VARCHAR))
    UNION ALL
    SELECT c.taxon, 4
    FROM class_taxa AS c
    WHERE c.taxonomy = taxonomy
      AND (lower(c.class) = lower(taxon::VARCHAR) OR c.concept = taxon::VARCHAR)
),
tiers AS (
    SELECT f.tier, min(f.taxon) AS first, max(f.taxon) AS last FROM fitting AS f GROUP BY f.tier
),
focal AS (
    SELECT
        CASE
            WHEN b.best.first <> b.best.last
            THEN error(
                '"' || taxon::VARCHAR || '" names several taxa of ' || taxonomy || ', such as '
                || b.best.first || ' and ' || b.best.last || '; give the key'
            )::VARCHAR
            ELSE b.best.first
        END AS taxon
    FROM (SELECT arg_min(t, t.tier) AS best FROM tiers AS t) AS b
    WHERE b.best IS NOT NULL
),
walk AS (
    SELECT f.taxon, f.taxon AS ancestor, 0 AS distance FROM focal AS f
    UNION
    SELECT w.taxon, e.parent, w.distance + 1
    FROM walk AS w
    JOIN taxon_parents AS e ON e.taxonomy = taxonomy AND e.taxon = w.ancestor
),
nearest_way AS (
    SELECT w.taxon, w.ancestor, min(w.distance) AS distance FROM walk AS w GROUP BY w.taxon, w.ancestor
)
SELECT
    o.taxonomy,
    o.taxon,
    o.label,
    t.taxon AS ancestor,
    t.label AS ancestor_label,
    t.rank,
    t.depth,
    n.distance
FROM nearest_way AS n
JOIN taxa AS o ON o.taxonomy = taxonomy AND o.taxon = n.taxon
JOIN taxa AS t ON t.taxonomy = taxonomy AND t.taxon = n.ancestor
ORDER BY n.distance, t.depth DESC, t.taxon;
