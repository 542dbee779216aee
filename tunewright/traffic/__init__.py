"""Traffic: what was asked and answered, one SQL schema on SQLite or PostgreSQL."""
