-- The lowest common ancestor of two taxa, and how far apart they are in the taxonomy.
--
-- a         VARCHAR               a taxon's key, else its label in any case, else the label (in any case)
--                                 or concept of a class of any model
-- b         VARCHAR               the other, likewise
-- taxonomy  VARCHAR := 'wordnet'  which taxonomy, as `FROM taxonomies` lists it
--
-- Example: FROM lca('tench', 'goldfish')
-- Example: FROM lca('Dungeness crab', 'king crab')
--
-- Reading it: the lowest common ancestor is the deepest; of equally deep ones, which taxa under several
-- parents may have, as in WordNet, the one with the shorter way, then by key. depth counts its edges
-- from the root by the longest way, distance those of the way from a up to it and down to b; path is the
-- shortest such way over any common ancestor, so it is at most distance. wu_palmer is 2 d / (s + 2 d),
-- where d counts the nodes from the root to a common ancestor and s the edges of the way over it, the
-- largest over all of them (Wu and Palmer 1994, ACL): 1 for a taxon and itself, near 0 where only the
-- root is common. Taxa without a common ancestor have no row. A name that several taxa share is an error:
-- give the key.
CREATE OR REPLACE MACRO lca(a, b, taxonomy := 'wordnet') AS TABLE
WITH common AS (
    SELECT
        x.taxonomy,
        x.label AS label_a,
        y.label AS label_b,
        x.ancestor AS taxon,
        x.ancestor_label AS label,
        x.rank,
        x.depth,
        x.distance + y.distance AS distance
    FROM ancestors(a, taxonomy := taxonomy) AS x
    JOIN ancestors(b, taxonomy := taxonomy) AS y ON y.ancestor = x.ancestor
),
measured AS (
    SELECT
        min(c.distance) AS path,
        max(2 * (c.depth + 1) / (c.distance + 2 * (c.depth + 1))) AS wu_palmer
    FROM common AS c
)
SELECT
    c.taxonomy,
    c.label_a AS a,
    c.label_b AS b,
    c.taxon AS lca,
    c.label,
    c.rank,
    c.depth,
    c.distance,
    m.path,
    m.wu_palmer
FROM common AS c
CROSS JOIN measured AS m
ORDER BY c.depth DESC, c.distance, c.taxon
LIMIT 1;
