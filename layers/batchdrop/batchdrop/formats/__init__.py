"""File formats: one module each, which reads an upload as records and writes results in the same format."""
