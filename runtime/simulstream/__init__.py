"""The decoder as a speech processor of simulstream, a server and evaluation of streaming systems.

Nothing is imported here: `processor` asks for that package (extra `simulstream`).
"""
