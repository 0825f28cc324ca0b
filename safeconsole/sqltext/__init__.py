"""Analysis of SQL text: tokens, statements, kinds, tables, functions, effects, hazards, redaction. Pure."""
