"""Threads for the sessions of a server, which waits for each session's steps in one of them.

Knows asyncio; nothing of the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from concurrent.futures import ThreadPoolExecutor

SESSIONS = 64
"""That can have a step at once. asyncio's own are 4 more than the processors: steps that are due at
the same moment would wait for each other, where they could be taken together."""

_served: weakref.WeakSet[asyncio.AbstractEventLoop] = weakref.WeakSet()


def serve_sessions() -> None:
    """Have the event loop that runs here, if one does, wait for `SESSIONS` steps at once."""
    with contextlib.suppress(RuntimeError):  # there is none
        loop = asyncio.get_running_loop()
        if loop not in _served:
            _served.add(loop)
            # A thread is started when there is need of it, and idle ones are used first.
            loop.set_default_executor(ThreadPoolExecutor(SESSIONS, "alignheads-session"))
