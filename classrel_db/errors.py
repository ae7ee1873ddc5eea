"""Every error that classrel raises on purpose, as one tree.

    ClassrelError                 the request can't be met; the message is meant for the user
    ├── ArgumentError             a value outside what the call accepts (k of 0, an unknown format)
    ├── UnknownModelError         no model of that name, in the database or in any source
    ├── UnknownClassError         no class of that label, concept or index
    ├── AmbiguousClassError       several classes fit; the message lists them
    ├── SourceError               a head can't be read: missing, damaged, refused or out of reach
    │   ├── HeadError             no tensor, or several, can be the head
    │   └── MissingExtraError     an optional package is not installed; the message names its extra
    ├── LabelError                the labels don't fit the head or are no labels
    ├── TaxonomyError             a taxonomy file can't be read, or is no taxonomy
    ├── WeightsError              the weights can't be compared: NaN, Inf, constant row, one class
    ├── ModelExistsError          other weights or labels are stored under that name
    ├── StatementError            SQL that can't be run; the message shows the place
    ├── WorkerError               a process that computed a head died, mostly for lack of memory
    │   └── ClusterError          a cluster can't be used: out of reach, of another classrel
    ├── QueryFileError            a file of a named query is not in order; the message names the line
    └── DatabaseError             the database file can't be used
        ├── MissingDatabaseError  there is no such file yet
        ├── LockedDatabaseError   another process holds it
        └── SchemaError           it was written by a newer classrel, or it is not classrel's
            └── OldSchemaError    it was written by an older classrel; the next ingest upgrades it

    ClassrelWarning               (a UserWarning) an answer that stands, with something to know about it

A message says what was received, what is accepted and what to do, in that order, and carries no
traceback to the user: the command line prints it after ``error:`` and exits with 1.
"""


class ClassrelWarning(UserWarning):
    """An answer that stands, with something to know about it; the command line tells it."""


class ClassrelError(Exception):
    """The request can't be met; the message is meant for the user."""


class ArgumentError(ClassrelError):
    """A value outside what the call accepts."""


class UnknownModelError(ClassrelError):
    """No model of that name, in the database or in any source."""


class UnknownClassError(ClassrelError):
    """No class of that label, concept or index."""


class AmbiguousClassError(ClassrelError):
    """Several classes fit the words given; the message lists them."""


class SourceError(ClassrelError):
    """A head can't be read: the file is missing, damaged, refused or out of reach."""


class HeadError(SourceError):
    """No tensor, or more than one, can be the classification head."""


class MissingExtraError(SourceError):
    """An optional dependency is not installed; the message names the extra."""


class LabelError(ClassrelError):
    """The labels don't fit the head, or are no labels."""


class TaxonomyError(ClassrelError):
    """A taxonomy file can't be read, or is no taxonomy."""


class WeightsError(ClassrelError):
    """The weights can't be compared: NaN, Inf, a constant row, one class or one dimension."""


class ModelExistsError(ClassrelError):
    """Other weights, labels or settings are already stored under that name."""


class StatementError(ClassrelError):
    """SQL that can't be run: the message is DuckDB's, with the place and what may be meant."""


class QueryFileError(ClassrelError):
    """A named query's file is not in order; the message names the file and the line."""


class WorkerError(ClassrelError):
    """A process that computed a head died, mostly for lack of memory."""


class ClusterError(WorkerError):
    """A cluster can't be used: out of reach, with another classrel, or without the database's folder."""


class DatabaseError(ClassrelError):
    """The database file can't be used."""


class MissingDatabaseError(DatabaseError):
    """There is no such database file yet."""


class LockedDatabaseError(DatabaseError):
    """Another process holds the database file."""


class SchemaError(DatabaseError):
    """The file was written by a newer classrel, or it is another program's database."""


class OldSchemaError(SchemaError):
    """The file was written by an older classrel; the next ingest upgrades it."""
