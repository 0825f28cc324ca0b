"""May this run? Facts, rules, limits, decision. Pure."""
