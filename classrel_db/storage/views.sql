-- Names instead of ids, for whoever reads the file with any DuckDB client. Made anew, with the
-- macros of queries/, by the first write of a classrel whose definitions differ.

CREATE OR REPLACE MACRO euclidean(cosine, norm_a, norm_b) AS
    sqrt(greatest(0, norm_a * norm_a + norm_b * norm_b - 2 * norm_a * norm_b * cosine::DOUBLE))::FLOAT;

-- In double precision, rounded to a grid of 2^-40 and then once to float, as the stored cosines are.
CREATE OR REPLACE MACRO cosine_of(vector_a, vector_b) AS
    ((list_cosine_similarity(vector_a::DOUBLE[], vector_b::DOUBLE[]) + 4096) - 4096)::FLOAT;

-- every stored neighbour: up to 100 of each class
CREATE OR REPLACE VIEW nearest AS
SELECT
    m.name AS model,
    c.label AS class,
    c.class_idx,
    c.concept,
    n.rank,
    o.label AS neighbor,
    n.neighbor_idx,
    o.concept AS neighbor_concept,
    n.cosine,
    euclidean(n.cosine, c.norm, o.norm) AS euclidean
FROM models AS m
JOIN neighbors AS n ON n.model_id = m.model_id
JOIN classes AS c ON c.model_id = m.model_id AND c.class_idx = n.class_idx
JOIN classes AS o ON o.model_id = m.model_id AND o.class_idx = n.neighbor_idx;

-- every stored pair, both ways round
CREATE OR REPLACE VIEW pairwise AS
SELECT
    m.name AS model,
    a.label AS class_a,
    b.label AS class_b,
    p.cosine,
    euclidean(p.cosine, a.norm, b.norm) AS euclidean
FROM models AS m
JOIN (
    SELECT model_id, a, b, cosine FROM pairs
    UNION ALL
    SELECT model_id, b, a, cosine FROM pairs
) AS p ON p.model_id = m.model_id
JOIN classes AS a ON a.model_id = m.model_id AND a.class_idx = p.a
JOIN classes AS b ON b.model_id = m.model_id AND b.class_idx = p.b;
