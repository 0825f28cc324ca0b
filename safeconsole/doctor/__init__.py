"""Checks of a cluster and its accounts, and how to fix what fails."""
