-- How the cosines of all pairs of a model are distributed: counts in bins of equal width.
--
-- bins    INTEGER := 40      how many bins from -1 to 1
-- models  VARCHAR[] := NULL  only these models
--
-- Example: FROM similarity_histogram(models := ['efficientnet_lite0'])
--
-- Reading it: a bin holds low <= cosine < high (the last also 1); empty bins are left out; share is of
-- the model's pairs. Between unrelated rows of D dimensions cosines lie around -1/(C-1) with a standard
-- deviation of about 1/sqrt(D-1): what lies beyond that is structure. Only stored pairs are counted.
CREATE OR REPLACE MACRO similarity_histogram(bins := 40, models := NULL) AS TABLE
WITH counted AS (
    SELECT
        p.model_id,
        least(floor((p.cosine::DOUBLE + 1) * bins / 2)::INTEGER, bins - 1) AS bin,
        count(*) AS n
    FROM pairs AS p
    WHERE p.model_id IN (
        SELECT m.model_id FROM models AS m WHERE models IS NULL OR list_contains(models, m.name)
    )
      AND CASE
            WHEN bins >= 1 THEN true
            ELSE error('bins is ' || coalesce(bins::VARCHAR, 'NULL') || '; it is a whole number from 1 on')::BOOLEAN
          END
    GROUP BY ALL
)
SELECT
    m.name AS model,
    -- one division, so that the edges are the nearest to round numbers
    (2 * c.bin - bins) / bins AS low,
    (2 * c.bin + 2 - bins) / bins AS high,
    c.n,
    c.n / m.n_pairs AS share
FROM counted AS c
JOIN models AS m ON m.model_id = c.model_id
ORDER BY c.model_id, c.bin;
