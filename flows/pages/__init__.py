"""Pages: what people look at, in a browser or on a terminal."""
