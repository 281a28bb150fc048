"""The sweep that tunes the streaming policy: word error rate against emission delay."""
