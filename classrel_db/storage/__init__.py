"""DuckDB and FAISS: the one file that holds everything, and the vector index beside it.

``database`` and ``read`` import nothing but DuckDB: a stored answer is given before numpy would have
been imported. ``arrays``, ``write`` and ``index`` carry arrays.
"""
