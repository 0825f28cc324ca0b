"""Settings, secrets, policy files, and the person's identity."""
