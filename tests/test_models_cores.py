"""Work on all cores: each item once, and nothing goes on behind the back of who asked."""

import threading
import time

import pytest

from alignheads.runtime.models.cpu import cores
from alignheads.runtime.models.cpu.cores import on_all_cores


@pytest.fixture(params=[1, 2, 5])
def threads(request, monkeypatch):
    monkeypatch.setattr(cores, "thread_count", lambda: request.param)
    return request.param


def test_each_item_is_worked_on_once(threads):
    done, names = [], set()

    def work(item):
        time.sleep(0.002)
        names.add(threading.current_thread().name)
        done.append(item)

    on_all_cores(work, range(40))
    assert sorted(done) == list(range(40))
    assert len(names) == 1 if threads == 1 else 1 < len(names) <= threads
    on_all_cores(work, [])
    assert len(done) == 40


def test_an_error_is_raised_once_nobody_is_at_work_any_more(threads):
    begun, ended = [], []

    def work(item):
        begun.append(item)
        if item == 3:
            raise MemoryError("no room")
        time.sleep(0.01)
        ended.append(item)

    with pytest.raises(MemoryError, match="no room"):
        on_all_cores(work, range(4))
    assert sorted(begun) == [0, 1, 2, 3]
    assert sorted(ended) == [0, 1, 2]


def test_several_may_ask_at_once(threads):
    done = [[], [], []]

    def ask(place):
        on_all_cores(done[place].append, range(200))

    asking = [threading.Thread(target=ask, args=(place,)) for place in range(3)]
    for one in asking:
        one.start()
    for one in asking:
        one.join()
    assert [sorted(one) for one in done] == [list(range(200))] * 3
