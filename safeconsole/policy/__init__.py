"""Whether a statement may run: facts, rules, limits, decision. Pure."""
