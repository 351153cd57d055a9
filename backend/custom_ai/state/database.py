"""The connection to SQL: SQLite by default, Postgres by URL."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine, event, make_url, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from custom_ai.errors import SettingsError
from custom_ai.state.tables import Installation

_MIGRATIONS = Path(__file__).parent / "migrations"


class Database:
    """Sessions on one database. ``read`` and ``write`` are context managers of one transaction each."""

    def __init__(self, url: str) -> None:
        """Raises SettingsError when the URL names no usable database."""
        self.url = url
        self._engine = _engine(url)
        # SQLite: a transaction that reads first and writes later fails at once with "database is
        # locked" when another writer came between, whatever the busy timeout; BEGIN IMMEDIATE waits.
        self._writer = self._engine.execution_options(begin="IMMEDIATE")

    @contextmanager
    def read(self) -> Iterator[Session]:
        with Session(self._engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """One transaction: committed at the end, rolled back on any error."""
        with Session(self._writer, expire_on_commit=False) as session, session.begin():
            yield session

    def migrate(self) -> None:
        """Bring the schema to this version; creates the database file or tables when needed."""
        config = Config()
        config.set_main_option("script_location", str(_MIGRATIONS))
        with self._engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    def secret_key(self) -> bytes:
        """The installation's own secret, made at first use; signs sessions and derives webhook secrets."""
        with self.read() as session:
            row = session.get(Installation, "secret_key")
        if row is None:
            try:
                with self.write() as session:
                    session.add(Installation(name="secret_key", value=secrets.token_hex(32)))
            except IntegrityError:
                pass  # another process was first; its key counts
            with self.read() as session:
                row = session.scalars(select(Installation).where(Installation.name == "secret_key")).one()
        return bytes.fromhex(row.value)

    def dispose(self) -> None:
        self._engine.dispose()


def _engine(url: str) -> Engine:
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() != "sqlite":
            engine = create_engine(url, pool_pre_ping=True)
        else:
            if parsed.database:
                Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
            engine = create_engine(url, poolclass=NullPool, connect_args={"timeout": 30.0})
            event.listen(engine, "connect", _configure_sqlite)
            event.listen(engine, "begin", _begin_sqlite)
    except Exception as error:  # SQLAlchemy raises ArgumentError, ImportError or NoSuchModuleError here
        raise SettingsError(name="database_url", why=str(error)) from error
    return engine


def _configure_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves, see _begin_sqlite
    for pragma in ("journal_mode=WAL", "busy_timeout=30000", "foreign_keys=ON", "synchronous=NORMAL"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql(f"BEGIN {connection.get_execution_options().get('begin', 'DEFERRED')}")
