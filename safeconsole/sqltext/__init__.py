"""What a text is: tokens, statements, kinds, tables, functions, effects, hazards, redaction. Pure."""
