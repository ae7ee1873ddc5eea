-- The taxonomy `wordnet`: the hypernyms of the ImageNet-1k classes, from the csv files in $folder. Labels
-- are those of the classes, else the first lemma.
INSERT INTO taxonomies VALUES ('wordnet', 'wordnet', 'WordNet 3.0', date_trunc('second', now() AT TIME ZONE 'UTC'));

INSERT INTO taxon_parents
SELECT 'wordnet', child, parent, NULL
FROM read_csv($folder || '/wordnet_hypernyms.csv', auto_detect := false, delim := ',', quote := '"', escape := '"', header := true,
    columns := {child: 'VARCHAR', parent: 'VARCHAR'});

INSERT INTO taxa
WITH RECURSIVE below AS (
    SELECT DISTINCT e.parent AS taxon, 0 AS depth
    FROM taxon_parents AS e
    WHERE e.taxonomy = 'wordnet'
      AND e.parent NOT IN (SELECT x.taxon FROM taxon_parents AS x WHERE x.taxonomy = 'wordnet')
    UNION
    SELECT e.taxon, b.depth + 1
    FROM below AS b
    JOIN taxon_parents AS e ON e.taxonomy = 'wordnet' AND e.parent = b.taxon
)
SELECT 'wordnet', n.wnid, coalesce(c.label, split_part(n.lemmas, ';', 1)), NULL, max(b.depth)
FROM read_csv($folder || '/wordnet_nodes.csv', auto_detect := false, delim := ',', quote := '"', escape := '"', header := true,
    columns := {wnid: 'VARCHAR', lemmas: 'VARCHAR'}) AS n
JOIN below AS b ON b.taxon = n.wnid
LEFT JOIN read_csv($folder || '/imagenet1k_classes.csv', auto_detect := false, delim := ',', quote := '"', escape := '"', header := true,
    columns := {class_idx: 'VARCHAR', wnid: 'VARCHAR', label: 'VARCHAR', lemmas: 'VARCHAR'}) AS c
    ON c.wnid = n.wnid
GROUP BY ALL
ORDER BY n.wnid;

INSERT INTO taxon_names SELECT 'wordnet', taxon, taxon FROM taxa WHERE taxonomy = 'wordnet';
