"""The computer that safeconsole runs on: files, secrets, clock, and who the person is."""
