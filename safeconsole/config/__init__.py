"""Settings, secrets, policies on file, and who the person is."""
