"""What every face writes to a terminal or a pipe: rows, evidence, questions, the status line."""
