"""The bare SQL that answers `similar` from the base tables."""

NEAREST = """
    SELECT m.name, c.label, n.rank, o.label, o.concept, n.cosine,
           sqrt(greatest(0, c.norm * c.norm + o.norm * o.norm
                            - 2 * c.norm * o.norm * n.cosine::DOUBLE))::FLOAT AS euclidean
    FROM neighbors AS n
    JOIN models AS m ON m.model_id = n.model_id
    JOIN classes AS c ON c.model_id = n.model_id AND c.class_idx = n.class_idx
    JOIN classes AS o ON o.model_id = n.model_id AND o.class_idx = n.neighbor_idx
    WHERE n.model_id = $1 AND n.class_idx = $2 AND n.rank <= $3
    ORDER BY n.rank
"""
