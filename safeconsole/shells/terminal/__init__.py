"""What a terminal shows: tables, evidence, status."""
