"""Scores of heads from attention and word times, and the heads file they lead to."""
