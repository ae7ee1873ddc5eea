"""What a database file holds besides data: its tables, by numbered migrations, its views and macros."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from classrel_db.errors import MissingDatabaseError, OldSchemaError, SchemaError
from classrel_db.storage.transaction import transaction
from classrel_db.version import __version__

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_HERE = Path(__file__).parent

# What DuckDB 1.2 and every later client can open; DuckDB 2.0's own default can't be read by 1.x.
STORAGE_VERSION = "v1.2.0"
# The blocks are half of DuckDB's own: one model's columns fill them better (5.4 instead of 6.3 bytes
# a pair in a hundred heads of 1,000 classes), and scans are no slower.
FORMAT: dict[str, str | bool | int | float | list[str]] = {
    "storage_compatibility_version": STORAGE_VERSION,
    "default_block_size": 131_072,
}

_TAXONOMIES_SINCE = 3  # the schema

# Everything of classrel's that a client sees by name, as SQL text.
_DEFINED = """
    SELECT 'view', view_name, sql FROM duckdb_views()
    WHERE NOT internal AND schema_name = 'main' AND database_name = current_database()
    UNION ALL
    SELECT 'macro', function_name, parameters::VARCHAR || macro_definition FROM duckdb_functions()
    WHERE NOT internal AND schema_name = 'main' AND database_name = current_database()
      AND macro_definition IS NOT NULL
    ORDER BY ALL
"""


def require_schema(connection: DuckDBPyConnection, path: Path) -> None:
    """Raise MissingDatabaseError for an empty file, SchemaError for one that can't be read."""
    version, newest = _version(connection, path), len(_migrations())
    if version == 0:
        raise MissingDatabaseError(
            f"the database {path} is empty; fill it with `classrel ingest efficientnet_lite0`"
        )
    if version > newest:
        raise _too_new(path, version)
    if version < newest:
        raise OldSchemaError(
            f"{path} has schema {version}, this classrel reads schema {newest}; any "
            "`classrel ingest` into it upgrades it"
        )


def upgrade(connection: DuckDBPyConnection, path: Path, *, data: bool = True) -> None:
    """Bring tables, views and macros to this classrel's, in one transaction.

    A file of before schema 3 gets the taxonomy that ships with the package, unless without ``data``.
    Raises SchemaError for a file of a newer classrel or of another program.
    """
    version, migrations = _version(connection, path), _migrations()
    if version > len(migrations):
        raise _too_new(path, version)
    with transaction(connection):
        for migration in migrations[version:]:
            connection.execute(migration.read_text("utf-8"))
        if data and version < _TAXONOMIES_SINCE:
            _add_wordnet(connection)
        # each time, not only after an upgrade: whoever holds the file may have changed or dropped one
        for script in definitions():
            connection.execute(script)
        if version < len(migrations):
            connection.execute("CREATE TABLE IF NOT EXISTS classrel (key VARCHAR, value VARCHAR)")
            connection.execute("DELETE FROM classrel")
            connection.execute("INSERT INTO classrel VALUES ('schema', ?)", [str(len(migrations))])


def newest() -> int:
    """The number of the schema that this classrel writes and reads."""
    return len(_migrations())


def _add_wordnet(connection: DuckDBPyConnection) -> None:
    script = (_HERE / "wordnet.sql").read_text("utf-8")
    folder = {"folder": str(_HERE.parent / "data")}
    for statement in connection.extract_statements(script):
        connection.execute(statement, folder if statement.named_parameters else None)


def altered_definitions(connection: DuckDBPyConnection) -> list[str]:
    """The views and macros in the file that are missing or not this classrel's, by name."""
    # DuckDB spells a definition otherwise once a file has held it, so the measure is a file too.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "definitions.duckdb"
        with duckdb.connect(str(path), config=FORMAT) as fresh:
            upgrade(fresh, path, data=False)
        with duckdb.connect(str(path), read_only=True) as fresh:
            wanted = {row[:2]: row[2] for row in fresh.execute(_DEFINED).fetchall()}
    found = {row[:2]: row[2] for row in connection.execute(_DEFINED).fetchall()}
    return [
        f"{kind} {name}" for (kind, name), sql in wanted.items() if found.get((kind, name)) != sql
    ]


def definitions() -> list[str]:
    """The views and macros, each a script, in the order in which they build on each other."""
    views = _HERE / "views.sql"
    return [script.read_text("utf-8") for script in (views, *query_files())]


def query_files() -> list[Path]:
    """The named queries, one .sql file each: beside the package in a checkout, inside a wheel."""
    package = _HERE.parent
    folder = package / "queries"
    return _scripts(folder if folder.is_dir() else package.parent / "queries")


def _version(connection: DuckDBPyConnection, path: Path) -> int:
    """The number of migrations that the file has seen; 0 for an empty file."""
    try:
        # asked first, for it is there in all but new files, and the list of tables takes ten times as long
        return int(_settings(connection)["schema"])
    except (duckdb.Error, KeyError, ValueError) as error:
        tables = [
            name
            for (name,) in connection.execute(
                "SELECT table_name FROM duckdb_tables() "
                "WHERE schema_name = 'main' AND database_name = current_database() ORDER BY 1"
            ).fetchall()
        ]
        if not tables:
            return 0
        raise SchemaError(
            f"{path} is a DuckDB database, but not one of classrel's or damaged: its schema number "
            f"can't be read (tables: {', '.join(tables[:5])}); classrel keeps a file of its own, "
            "name another with --db"
        ) from error


def _too_new(path: Path, version: int) -> SchemaError:
    return SchemaError(
        f"{path} has schema {version}, written by a newer classrel; this one ({__version__}) reads "
        f"up to schema {len(_migrations())}: upgrade classrel-db"
    )


def _settings(connection: DuckDBPyConnection) -> dict[str, str]:
    return dict(connection.execute("SELECT key, value FROM main.classrel").fetchall())


def _migrations() -> list[Path]:
    return _scripts(_HERE / "migrations")


def _scripts(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.sql"))
