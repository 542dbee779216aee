"""Registry: versions of releases, and which of them serves. Files only."""
