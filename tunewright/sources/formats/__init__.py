"""Containers of records, one file each: `ENDINGS` are the file endings it answers to, `read` turns one place into tables.

Nothing is registered: a new file in this folder is a new `data.format`.
"""
