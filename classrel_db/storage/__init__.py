"""DuckDB and FAISS: the one file that holds everything, and the vector index beside it."""

from classrel_db.storage import read, write
from classrel_db.storage.database import Database, query_files, transaction, translated
from classrel_db.storage.index import IndexCache, VectorIndex, folder_of

__all__ = [
    "Database",
    "IndexCache",
    "VectorIndex",
    "folder_of",
    "query_files",
    "read",
    "transaction",
    "translated",
    "write",
]
