"""Diagnosis of a server in an incident: sessions, transactions, lock waits."""
