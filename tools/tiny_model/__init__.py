"""The recipe that made the bundled tiny checkpoint and the demo corpus. Not shipped."""
