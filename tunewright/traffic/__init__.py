"""Traffic: what was asked and answered, one SQL schema on SQLite or PostgreSQL.

record.py    the nouns: Exchange (one request and its answer), Feedback
store.py     `TrafficStore.open(...)`: read this first
writer.py    the queue and the one thread that writes; answers never wait for it
keep.py      what is kept of a text: as it is, redacted, its hash, nothing
spill.py     where rows go while the database is away
read.py      the rows as Polars frames
review.py    which answers people shall look at, and what they approved
watch.py     the monitor's windows and alerts
carry.py     rows out (for training) and labels in (from files)
schema.py, migrate.py, migrations/    the tables, and how an older store becomes today's
"""
