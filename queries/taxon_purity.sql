-- How far the classes of each taxon keep to themselves: the share of their k nearest that are of it too.
--
-- model     VARCHAR               a model's name
-- k         INTEGER := 10         how near, from 1 to 100
-- taxonomy  VARCHAR := 'wordnet'  which taxonomy, as `FROM taxonomies` lists it
--
-- Example: FROM taxon_purity('efficientnet_lite0') LIMIT 20
-- Example: FROM taxon_purity('efficientnet_lite0', k := 1) WHERE classes >= 10
--
-- Reading it: classes counts those of the taxon and of all taxa below it, purity is the mean of their
-- shares, chance what neighbours drawn without regard to the taxonomy would share, (classes - 1) / (n - 1)
-- with n classes in the model, and ratio purity / chance: 1 for a taxon that the head knows nothing of. A
-- taxon of c classes has a purity of at most (c - 1) / k, so compare ratios where taxa are smaller than k.
-- Only classes whose concept names a taxon count, in n and among the neighbours: each class's k nearest
-- are the first k such of its 100 stored neighbours, or all where there are fewer; a class without any
-- is left out of the mean. Taxa of 1 class or of all are left out, and of taxa with the very same classes
-- only the lowest is there, the deepest where several are.
CREATE OR REPLACE MACRO taxon_purity(model, k := 10, taxonomy := 'wordnet') AS TABLE
WITH RECURSIVE matched AS MATERIALIZED (
    SELECT DISTINCT t.model_id, t.class_idx, t.taxon
    FROM class_taxa AS t
    WHERE t.model = model AND t.taxonomy = taxonomy
),
above AS (
    SELECT DISTINCT m.taxon AS origin, m.taxon FROM matched AS m
    UNION
    SELECT a.origin, e.parent
    FROM above AS a
    JOIN taxon_parents AS e ON e.taxonomy = taxonomy AND e.taxon = a.taxon
),
members AS MATERIALIZED (
    SELECT DISTINCT a.taxon, m.class_idx FROM matched AS m JOIN above AS a ON a.origin = m.taxon
),
whole AS (
    SELECT count(DISTINCT m.class_idx) AS n FROM matched AS m
),
groups AS MATERIALIZED (
    SELECT
        m.taxon,
        count(*) AS n_classes,
        any_value(w.n) AS n,
        list(m.class_idx ORDER BY m.class_idx) AS held
    FROM members AS m
    CROSS JOIN whole AS w
    GROUP BY m.taxon
    HAVING count(*) >= 2 AND count(*) < any_value(w.n)
),
kept AS MATERIALIZED (
    SELECT
        arg_min(t.taxon, (-t.depth, t.taxon)) AS taxon,
        any_value(g.n_classes) AS n_classes,
        any_value(g.n) AS n
    FROM groups AS g
    JOIN taxa AS t ON t.taxonomy = taxonomy AND t.taxon = g.taxon
    GROUP BY g.held
),
near AS MATERIALIZED (
    SELECT r.class_idx, r.neighbor_idx
    FROM (
        SELECT
            n.class_idx,
            n.neighbor_idx,
            row_number() OVER (PARTITION BY n.class_idx ORDER BY n.rank) AS place
        FROM neighbors AS n
        JOIN (SELECT DISTINCT m.model_id, m.class_idx FROM matched AS m) AS x
            ON x.model_id = n.model_id AND x.class_idx = n.class_idx
        JOIN (SELECT DISTINCT m.model_id, m.class_idx FROM matched AS m) AS y
            ON y.model_id = n.model_id AND y.class_idx = n.neighbor_idx
    ) AS r
    WHERE r.place <= stored_rank(k)
),
shares AS (
    SELECT t.taxon, x.class_idx, count(y.class_idx) / count(*) AS share
    FROM kept AS t
    JOIN members AS x ON x.taxon = t.taxon
    JOIN near AS n ON n.class_idx = x.class_idx
    LEFT JOIN members AS y ON y.taxon = x.taxon AND y.class_idx = n.neighbor_idx
    GROUP BY t.taxon, x.class_idx
),
purities AS (
    SELECT s.taxon, avg(s.share) AS purity FROM shares AS s GROUP BY s.taxon
)
SELECT
    f.name AS model,
    t.taxon,
    t.label,
    t.rank,
    t.depth,
    g.n_classes AS classes,
    p.purity,
    (g.n_classes - 1) / (g.n - 1) AS chance,
    p.purity * (g.n - 1) / (g.n_classes - 1) AS ratio
FROM kept AS g
JOIN taxa AS t ON t.taxonomy = taxonomy AND t.taxon = g.taxon
JOIN models AS f ON f.name = model
LEFT JOIN purities AS p ON p.taxon = g.taxon
-- what is summed in another order is the same but for its last digits
ORDER BY round(p.purity, 12) DESC NULLS LAST, g.n_classes DESC, t.taxon;
