"""The computers that the servers run on, asked beside the database: how much memory they have free."""
