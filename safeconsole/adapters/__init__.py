"""Touches the world: database servers and this computer."""
