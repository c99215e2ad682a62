"""Tables that people bring: one reader for ingestion, import and audit, whatever the format."""
