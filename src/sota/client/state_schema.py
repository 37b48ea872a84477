"""The schema of the SOTA Client's file ``client.db``, in migration steps (``kit/sql/local_database.py``)."""

from __future__ import annotations

SCHEMA = (
    """
    CREATE TABLE offered (
        update_id TEXT PRIMARY KEY,
        body BLOB NOT NULL,
        accepted INTEGER NOT NULL DEFAULT 0
    );
    CREATE TABLE download (
        download_index INTEGER PRIMARY KEY,
        update_id TEXT NOT NULL REFERENCES offered(update_id),
        name TEXT NOT NULL,
        version TEXT NOT NULL,
        size INTEGER NOT NULL,
        state TEXT NOT NULL,
        cancel_wanted INTEGER NOT NULL DEFAULT 0,
        start BLOB,
        report BLOB
    );
    """,
    """
    CREATE TABLE software (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        seen BLOB,
        ours INTEGER NOT NULL DEFAULT 0,
        sequence INTEGER NOT NULL DEFAULT 0,
        confirmed INTEGER NOT NULL DEFAULT 0
    );
    INSERT INTO software(one) VALUES (1);
    CREATE TABLE local_change (sequence INTEGER NOT NULL, body BLOB NOT NULL);
    """,
    """
    DROP TABLE download;
    DROP TABLE offered;
    CREATE TABLE offered (
        update_id TEXT PRIMARY KEY,
        body BLOB NOT NULL,
        accepted INTEGER NOT NULL DEFAULT 0
    );
    CREATE TABLE download (
        download_index INTEGER PRIMARY KEY,
        update_id TEXT NOT NULL REFERENCES offered(update_id),
        name TEXT NOT NULL,
        version TEXT NOT NULL,
        sha256 TEXT NOT NULL,
        epoch TEXT NOT NULL,
        size INTEGER NOT NULL,
        state TEXT NOT NULL,
        cancel_wanted INTEGER NOT NULL DEFAULT 0,
        stage TEXT,
        start BLOB,
        report BLOB
    );
    CREATE INDEX client_download_by_update ON download(update_id);
    CREATE TABLE stray_report (
        update_id TEXT NOT NULL,
        sha256 TEXT NOT NULL,
        body BLOB NOT NULL,
        PRIMARY KEY (update_id, sha256)
    );
    CREATE TABLE client_folder (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        vin TEXT,
        epoch TEXT,
        highest_index INTEGER NOT NULL DEFAULT 0
    );
    INSERT INTO client_folder(one) VALUES (1);
    """,
)
