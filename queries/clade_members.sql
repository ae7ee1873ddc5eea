-- The classes that are of a taxon: those that are it, and those of the taxa below it.
--
-- taxon     VARCHAR               a taxon's key, else its label in any case, else the label (in any case)
--                                 or concept of a class of any model
-- model     VARCHAR := NULL       only this model
-- taxonomy  VARCHAR := 'wordnet'  which taxonomy, as `FROM taxonomies` lists it
--
-- Example: FROM clade_members('crab', model := 'efficientnet_lite0')
-- Example: FROM clade_members('n02084071')
--
-- Reading it: taxon is the class's own, distance counts the edges of the shortest way from it up to the
-- taxon asked for: 0 where the class is that taxon. A class whose concept names several taxa is there
-- once, by the nearest. Classes whose concept names no taxon of this taxonomy are in no clade; see the
-- view class_taxa. A name that several taxa share is an error: give the key.
CREATE OR REPLACE MACRO clade_members(taxon, model := NULL, taxonomy := 'wordnet') AS TABLE
WITH RECURSIVE below AS (
    SELECT x.taxon, 0 AS distance
    FROM ancestors(taxon, taxonomy := taxonomy) AS x
    WHERE x.distance = 0
    UNION
    SELECT e.taxon, b.distance + 1
    FROM below AS b
    JOIN taxon_parents AS e ON e.taxonomy = taxonomy AND e.parent = b.taxon
)
SELECT
    c.model,
    c.class,
    c.class_idx,
    c.concept,
    arg_min(c.taxon, (b.distance, c.taxon)) AS taxon,
    min(b.distance) AS distance
FROM below AS b
JOIN class_taxa AS c ON c.taxonomy = taxonomy AND c.taxon = b.taxon
WHERE model IS NULL OR c.model = model
GROUP BY c.model_id, c.model, c.class_idx, c.class, c.concept
ORDER BY c.model_id, c.class_idx;
