"""Replay: each state of the decoder is decoded once, and then answered from a store."""
