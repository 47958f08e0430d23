"""The control process: decides who is loaded, started and stopped, and owns the shared-memory table."""
