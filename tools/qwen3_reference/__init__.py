"""What the reference implementations make of the tiny checkpoint; see README.md."""
