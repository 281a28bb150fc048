"""Batches of work on the processes of a Dask cluster (extra `cluster`), or of this machine.

Knows Dask; not what the work is. One process of the cluster prepares once, which is to load a
model, and keeps what it prepared; then it is sent batches, named by their content. What comes back
is counted once, whatever became of the process that it was first given to.
"""

from .connect import check_address, open_cluster
from .run import Cluster
from .tasks import Task, Work, WorkerRefused

__all__ = ["Cluster", "Task", "Work", "WorkerRefused", "check_address", "open_cluster"]
