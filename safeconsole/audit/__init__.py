"""The audit journal: written, verified, searched, reviewed, shipped."""
