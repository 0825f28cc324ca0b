"""The journal: written, verified, searched, reviewed, shipped."""
