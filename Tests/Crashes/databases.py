"""The databases of a round, read without the library."""

import json
import sqlite3
import subprocess


def psql(address, statement):
    """What the client of PostgreSQL prints for a statement."""
    command = ["psql", "-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", address, "-c", statement]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


class File:
    """A database as a file of SQLite."""

    def __init__(self, path):
        self.path = path
        self.argument = f"sqlite:{path}"

    def query(self, statement):
        """What a query finds, which is read only."""
        with sqlite3.connect(f"file:{self.path}?mode=ro", uri=True) as database:
            return [list(row) for row in database.execute(statement)]

    def remove(self):
        pass


class Server:
    """A database of its own on a PostgreSQL server, beside the one that an address names."""

    def __init__(self, address, name):
        self.main, self.name = address, name
        self.argument = f"{address.rpartition('/')[0]}/{name}"
        psql(address, f"CREATE DATABASE {name}")

    def query(self, statement):
        """What a query finds."""
        found = psql(self.argument, f"SELECT json_agg(row_to_json(found)) FROM ({statement}) AS found").strip()
        return [list(row.values()) for row in json.loads(found or "null") or []]

    def remove(self):
        psql(self.main, f"DROP DATABASE {self.name} WITH (FORCE)")
