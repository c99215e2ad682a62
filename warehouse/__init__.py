"""The warehouse: one DuckDB file with everything the loop knows, append-only, and dataset versions
that never change.

Every function takes an open connection first (`warehouse.connection.open_warehouse`), reads or
writes values of `voxdata`, and writes nothing when called again with what is already there. Rows
carry `created_at` (UTC), the `run_id` that wrote them, and `seq`, which orders them; what is
current is a view over them.
"""
