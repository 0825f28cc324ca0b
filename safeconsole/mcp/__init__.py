"""The MCP server: how agents ask."""
