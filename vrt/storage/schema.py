"""The tables of the index, and the version that says so: another one is made anew."""

VERSION = 6

SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE ticket (
  number INTEGER PRIMARY KEY, queue TEXT, state TEXT, outcome TEXT, owner TEXT, lock INTEGER, priority INTEGER,
  tags TEXT, created INTEGER, updated INTEGER, waiting_since INTEGER, pending_until INTEGER, articles INTEGER,
  unverified TEXT, last_event TEXT, merged_into TEXT, links TEXT, pending_outcome TEXT, draft TEXT, draft_by TEXT,
  undelivered TEXT, title TEXT, requester TEXT,
  current INTEGER AS (
    state IN ('new', 'open', 'pending') OR unverified <> '' OR undelivered <> '' OR draft <> '') STORED);
CREATE INDEX ticket_current ON ticket (
  undelivered = '', priority DESC, waiting_since = 0, waiting_since, number, queue) WHERE current;
CREATE INDEX ticket_tail ON ticket (number % 10000);
CREATE INDEX ticket_merged ON ticket (merged_into) WHERE merged_into <> '';
CREATE INDEX ticket_links ON ticket (links) WHERE links <> '';
CREATE INDEX ticket_due ON ticket (pending_until) WHERE pending_until > 0;
CREATE TABLE outbox (id TEXT PRIMARY KEY, ticket INTEGER, sender TEXT, agent TEXT, state TEXT, queued INTEGER,
  since INTEGER) WITHOUT ROWID;
CREATE TABLE seen (ticket INTEGER PRIMARY KEY, seq INTEGER);
CREATE TABLE event (
  seq INTEGER PRIMARY KEY, id TEXT UNIQUE, ticket INTEGER, action TEXT, agent TEXT, time INTEGER, "commit" BLOB,
  trailers TEXT);
CREATE INDEX event_ticket ON event (ticket, seq);
CREATE TABLE article (
  seq INTEGER PRIMARY KEY, ticket INTEGER, time INTEGER, md BLOB, eml BLOB, key TEXT, front TEXT, body TEXT);
CREATE INDEX article_ticket ON article (ticket, seq);
CREATE INDEX article_md ON article (md);
CREATE INDEX article_eml ON article (eml) WHERE eml IS NOT NULL;
CREATE TABLE ref (value TEXT, seq INTEGER, PRIMARY KEY (value, seq)) WITHOUT ROWID;
CREATE TABLE salt (ticket INTEGER, salt TEXT, PRIMARY KEY (ticket, salt)) WITHOUT ROWID;
CREATE TABLE counter (name TEXT PRIMARY KEY, last INTEGER) WITHOUT ROWID;
CREATE VIRTUAL TABLE words USING fts5 (
  subject, sender, recipients, body, names, content='', contentless_delete=1,
  tokenize='unicode61 remove_diacritics 0');
INSERT INTO words (words, rank) VALUES ('secure-delete', 1);
INSERT INTO words (words, rank) VALUES ('hashsize', 33554432);
"""
