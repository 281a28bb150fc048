"""A Dask cluster by its address, or one of this machine's own, open for a command."""

from __future__ import annotations

import atexit
import contextlib
import importlib.util
import logging
import signal
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from ..errors import ClusterError, InputError
from .run import Cluster

CONNECT_S = 10.0
"""How long a scheduler has to answer."""
NO_WORKER_S = 10.0
"""After which it is said that there are no workers."""
LOCAL = "local:"

_log = logging.getLogger(__name__)


def check_address(address: str | None, *, wait: bool = False, send_audio: bool = False) -> None:
    """Refuse what cannot be an address, before anything is loaded.

    Raises:
        InputError: what is expected; or the extra `cluster` is not installed.
    """
    if address is None:
        for name, is_given in (("wait", wait), ("send_audio", send_audio)):
            if is_given:
                raise InputError(
                    f"{name} is for work on a cluster; give dask", arguments=(name, "dask")
                )
        return
    if address.startswith(LOCAL):
        count = address.removeprefix(LOCAL)
        if not (count.isdecimal() and 1 <= int(count) <= _MOST_PROCESSES):
            raise InputError(
                f"dask is {address!r}, expected local:N with N of 1 to {_MOST_PROCESSES}",
                arguments=("dask",),
            )
    elif "://" not in address and not address.rpartition(":")[2].isdecimal():
        raise InputError(
            f"dask is {address!r}, expected the address of a scheduler, as tcp://HOST:8786, or "
            "local:N for N processes here",
            arguments=("dask",),
        )
    if importlib.util.find_spec("distributed") is None:
        raise InputError(
            "dask needs the extra cluster: pip install '.[cluster]', in the checkout",
            arguments=("dask",),
        )


_MOST_PROCESSES = 1024


@contextlib.contextmanager
def open_cluster(
    address: str | None, *, wait: bool = False, send_audio: bool = False
) -> Iterator[Cluster | None]:
    """The cluster at `address`, until the block ends; None for None.

    Args:
        address: of a Dask scheduler, or `local:N` for N processes that are started here.
        wait: go on waiting where there are no workers.
        send_audio: send samples with the tasks, to workers that do not see the corpus.

    Raises:
        InputError: nobody answers there, or there are no workers.
    """
    check_address(address, wait=wait, send_audio=send_audio)
    if address is None:
        yield None
        return
    with contextlib.ExitStack() as stack:
        stack.enter_context(_silence())
        client = stack.enter_context(_connected(address))
        cluster = Cluster(client, address, wait=wait, send_audio=send_audio)
        _await_workers(cluster)
        stack.callback(cluster.tell)
        yield cluster


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """What Dask logs and warns of, this package tells in a line of its own."""
    from dask import config

    quiet = {"distributed": "critical", "distributed.client": "critical", "tornado": "critical"}
    with config.set({"logging": quiet}):  # it sets handlers up when it is imported
        import distributed  # noqa: F401  # and its defaults, which must stay
    large = {"distributed.admin.large-graph-warning-threshold": "1 GB"}
    with config.set(large), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        names = [name for name in logging.root.manager.loggerDict if _is_of_dask(name)]
        levels = {name: logging.getLogger(name).level for name in names}
        try:
            for name in names:
                logging.getLogger(name).setLevel(logging.CRITICAL + 1)
            yield
        finally:
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)


def _is_of_dask(logger: str) -> bool:
    return logger.partition(".")[0] in ("asyncio", "distributed", "tornado")


@contextlib.contextmanager
def _connected(address: str) -> Iterator[Any]:
    from distributed import Client

    with contextlib.ExitStack() as stack:
        target: Any = address
        if address.startswith(LOCAL):
            target = stack.enter_context(_local(int(address.removeprefix(LOCAL))))
        try:
            client = Client(target, timeout=CONNECT_S, set_as_default=False)
        except (OSError, ValueError, TimeoutError) as error:
            raise InputError(
                f"nobody answers at {address} ({_first_line(error)}); start one with dask "
                "scheduler, or give local:N for N processes here"
            ) from error
        try:
            if importlib.util.find_spec("bokeh") is not None:
                _log.info("dashboard: %s", client.dashboard_link)
            yield client
        finally:
            with contextlib.suppress(Exception):  # it may be gone
                client.close(timeout=5)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


@contextlib.contextmanager
def _local(count: int) -> Iterator[Any]:
    """A scheduler in this process and `count` worker processes, which start anew when killed."""
    from distributed import LocalCluster
    from distributed.deploy import spec

    # One that is told to end while it starts is ended with its parent, without a word.
    if hasattr(spec, "close_clusters"):
        atexit.unregister(spec.close_clusters)
    has_dashboard = importlib.util.find_spec("bokeh") is not None
    dashboard: Any = ":0" if has_dashboard else None
    with _without_main():
        try:
            with _ctrl_c_ignored():  # by the workers: this process ends them
                cluster = LocalCluster(
                    n_workers=count,
                    threads_per_worker=1,
                    processes=True,
                    host="127.0.0.1",
                    memory_limit=0,  # a model may take what it needs
                    dashboard_address=dashboard,
                    silence_logs=logging.CRITICAL,
                )
        except (OSError, RuntimeError) as error:
            raise ClusterError(f"cannot start {count} processes: {_first_line(error)}") from error
        try:
            yield cluster
        finally:
            with contextlib.suppress(Exception):
                cluster.close(timeout=10)


@contextlib.contextmanager
def _without_main() -> Iterator[None]:
    """Have a new process not run the program that this one runs: from stdin there is no file."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextlib.contextmanager
def _ctrl_c_ignored() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _await_workers(cluster: Cluster) -> None:
    deadline, is_told = time.monotonic() + NO_WORKER_S, False
    while not cluster.addresses():
        if time.monotonic() > deadline and not is_told:
            if not cluster.wait:
                raise InputError(
                    f"the scheduler at {cluster.name} has no workers; start some with dask worker "
                    f"{cluster.name}, or give wait=True until there are some",
                    arguments=("wait",),
                )
            _log.info("waiting: the scheduler at %s has no workers", cluster.name)
            is_told = True
        time.sleep(0.2)
