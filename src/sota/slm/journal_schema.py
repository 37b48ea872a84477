"""The journal's tables: its migrations in order (``kit/sql/local_database.py``)."""

from __future__ import annotations

SCHEMA = (
    """
    CREATE TABLE accepted_update (
        position INTEGER PRIMARY KEY AUTOINCREMENT,
        update_id TEXT NOT NULL UNIQUE,
        body BLOB NOT NULL
    );
    CREATE TABLE accepted_download (
        download_index INTEGER PRIMARY KEY,
        update_id TEXT NOT NULL REFERENCES accepted_update(update_id),
        position INTEGER NOT NULL,
        name TEXT NOT NULL,
        version TEXT NOT NULL,
        state TEXT NOT NULL,
        reason TEXT,
        start BLOB,
        previous_version TEXT,
        report BLOB,
        reported INTEGER NOT NULL DEFAULT 0
    );
    CREATE INDEX download_by_update ON accepted_download(update_id, position);
    CREATE TABLE step (
        download_index INTEGER NOT NULL REFERENCES accepted_download(download_index),
        number INTEGER NOT NULL,
        step TEXT NOT NULL,
        ended INTEGER NOT NULL DEFAULT 0,
        exit_code INTEGER,
        output TEXT NOT NULL DEFAULT '',
        PRIMARY KEY (download_index, number)
    );
    """,
    """
    ALTER TABLE step ADD COLUMN operation TEXT NOT NULL DEFAULT '';
    ALTER TABLE step ADD COLUMN note TEXT NOT NULL DEFAULT '';
    CREATE TABLE operation (
        download_index INTEGER NOT NULL REFERENCES accepted_download(download_index),
        id TEXT NOT NULL,
        previous_version TEXT,
        result_code INTEGER,
        result_text TEXT NOT NULL DEFAULT '',
        PRIMARY KEY (download_index, id)
    );
    CREATE TABLE image (name TEXT PRIMARY KEY, version TEXT NOT NULL);
    CREATE TABLE consent (
        update_id TEXT PRIMARY KEY REFERENCES accepted_update(update_id),
        asked_at REAL NOT NULL,
        decision TEXT,
        decided_at REAL,
        deferred_until REAL,
        deferrals INTEGER NOT NULL DEFAULT 0
    );
    CREATE TABLE condition (
        update_id TEXT PRIMARY KEY REFERENCES accepted_update(update_id),
        since REAL NOT NULL,
        checked_at REAL NOT NULL,
        holds INTEGER NOT NULL,
        text TEXT NOT NULL
    );
    """,
    # The times of consent and condition are counts of slm/running_time.py: the vehicle's clock may be changed.
    """
    CREATE TABLE running_time (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        boot_id TEXT NOT NULL,
        since_boot REAL NOT NULL,
        ran REAL NOT NULL,
        passed REAL NOT NULL,
        clock REAL NOT NULL
    );
    DELETE FROM consent WHERE decision IS NULL;
    DELETE FROM condition;
    """,
    """
    ALTER TABLE accepted_download ADD COLUMN sha256 TEXT NOT NULL DEFAULT '';
    CREATE TABLE journal_owner (one INTEGER PRIMARY KEY CHECK (one = 1), vin TEXT);
    INSERT INTO journal_owner(one) VALUES (1);
    """,
)
