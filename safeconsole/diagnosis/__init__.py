"""What a server is doing, asked in an incident: sessions, transactions, who waits for whom."""
