"""Batches that other processes make, so that a GPU does not wait for them.

A core makes some 500 s of augmented audio a second; a GPU trains on ten times as much.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from .batches import Batch

AHEAD = 12  # batches that each process makes before it waits


class _Endless(IterableDataset):
    def __init__(self, make: Callable[[int], Iterator[Batch]]) -> None:
        self.make = make

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        return self.make(worker.id if worker else 0)


def fed(make: Callable[[int], Iterator[Batch]], workers: int, pinned: bool) -> Iterator[Batch]:
    """The batches of `make(0)` to `make(workers - 1)`, each in a process, as they come.

    With no `workers`, those of `make(0)`, made here. `pinned`: in memory for copies to a GPU.
    """
    if workers == 0:
        return make(0)
    # Forked: the pool's index is shared, and `make` need not be pickled.
    loader = DataLoader(_Endless(make), batch_size=None, num_workers=workers, in_order=False,
                        prefetch_factor=AHEAD, pin_memory=pinned,
                        multiprocessing_context="fork")  # fmt: skip
    return iter(loader)
