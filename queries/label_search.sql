-- The classes whose labels are spelled most like a text, over all models.
--
-- text    VARCHAR            what to look for: a label, a part of one, or a misspelling
-- k       INTEGER := 25      how many
-- models  VARCHAR[] := NULL  only these models
--
-- Example: FROM label_search('crab', k := 5)
--
-- Reading it: score is 1 for the label itself (case aside), above 0.9 where the text begins the label,
-- above 0.8 where it is a part of it, and else 0.8 times the Jaro-Winkler similarity. n is in how many
-- models the class has that label.
CREATE OR REPLACE MACRO label_search(text, k := 25, models := NULL) AS TABLE
WITH found AS (
    SELECT c.label, c.concept, count(*) AS n
    FROM classes AS c
    JOIN models AS m ON m.model_id = c.model_id
    WHERE models IS NULL OR list_contains(models, m.name)
    GROUP BY ALL
),
scored AS (
    SELECT
        f.*,
        CASE
            WHEN lower(f.label) = lower(text) THEN 1
            WHEN starts_with(lower(f.label), lower(text)) THEN 0.9 + 0.1 * length(text) / length(f.label)
            WHEN contains(lower(f.label), lower(text)) THEN 0.8 + 0.1 * length(text) / length(f.label)
            ELSE 0.8 * jaro_winkler_similarity(lower(f.label), lower(text))
        END AS score
    FROM found AS f
)
SELECT s.label AS class, s.concept, s.score::DOUBLE AS score, s.n
FROM scored AS s
ORDER BY round(s.score, 12) DESC, s.label, s.concept
LIMIT k;
