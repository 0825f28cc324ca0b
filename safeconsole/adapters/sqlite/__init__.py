"""The embedded engine, and the proof that the core knows no engine."""
