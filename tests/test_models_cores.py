"""Work on all cores: each item once, and nothing goes on behind the back of who asked."""

import contextlib
import gc
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path

import pytest

from alignheads.runtime.models.backend import mx
from alignheads.runtime.models.cpu import cores
from alignheads.runtime.models.cpu.cores import each_on_a_core, on_all_cores


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


def test_what_is_not_much_is_done_in_this_thread(threads):
    names = set()
    on_all_cores(lambda _: names.add(threading.current_thread()), range(40), is_much=False)
    assert names == {threading.current_thread()}


def test_an_error_is_raised_once_nobody_is_at_work_any_more(threads):
    begun, ended = [], []

    def work(item):
        begun.append(item)
        if item == 3:
            raise MemoryError("no room")
        time.sleep(0.01)
        ended.append(item)

    with pytest.raises(MemoryError, match="no room"):
        on_all_cores(work, range(100))
    assert set(begun) == {*ended, 3}
    assert len(begun) < 10  # the others are not begun
    time.sleep(0.05)
    assert set(begun) == {*ended, 3}


def test_all_may_fail_and_nothing_of_it_is_held(threads):
    class Room:
        pass

    def failing():
        room = Room()

        def work(_, held=room):
            raise MemoryError("no room")

        with pytest.raises(MemoryError):
            on_all_cores(work, range(5))
        return weakref.ref(room)

    gc.collect()
    gc.disable()
    try:
        held, until = failing(), time.monotonic() + 5
        while held() is not None and time.monotonic() < until:
            time.sleep(0.01)  # a thread that had not begun finds that it is not needed
        assert held() is None
    finally:
        gc.enable()


@pytest.fixture
def no_thread(monkeypatch):
    """None to be had, and none there yet."""
    helpers = cores._Helpers()
    monkeypatch.setattr(cores, "_helpers", lambda: helpers)

    class NoThread:
        def __init__(self, **_):
            pass

        def start(self):
            raise RuntimeError("can't start new thread")

    monkeypatch.setattr(cores.threading, "Thread", NoThread)


def test_without_a_thread_to_be_had_one_does_it_all(threads, no_thread):
    done = []
    on_all_cores(done.append, range(7))
    assert done == list(range(7))
    assert each_on_a_core(lambda item: -item, range(7)) == [-item for item in range(7)]


def test_who_has_not_begun_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(cores, "thread_count", lambda: 2)
    helpers, gate = cores._Helpers(), threading.Event()
    monkeypatch.setattr(cores, "_helpers", lambda: helpers)
    (busy,) = helpers.send(gate.wait, 1)
    done = []
    on_all_cores(done.append, range(7))
    assert done == list(range(7))
    gate.set()
    busy.result(10)
    helpers.stop()
    assert done == list(range(7))


def test_after_the_end_one_does_it_all(monkeypatch):
    monkeypatch.setattr(cores, "thread_count", lambda: 3)
    helpers = cores._Helpers()
    monkeypatch.setattr(cores, "_helpers", lambda: helpers)
    names = set()

    def work(_):
        time.sleep(0.002)
        names.add(threading.current_thread().name)

    on_all_cores(work, range(20))
    assert len(names) > 1
    helpers.stop()
    names.clear()
    on_all_cores(work, range(20))
    assert len(names) == 1


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


# An item on each core


@pytest.fixture
def one_thread(monkeypatch):
    """How often products had a thread alone, and whether they have it now."""
    counts = {"begun": 0, "now": 0}

    @contextlib.contextmanager
    def counted():
        counts["begun"] += 1
        counts["now"] += 1
        try:
            yield
        finally:
            counts["now"] -= 1

    monkeypatch.setattr(cores, "one_thread", counted)
    return counts


@pytest.mark.parametrize("count", [0, 1, 2, 4, 5, 11, 13])
def test_each_item_gives_its_result_and_few_that_are_left_over_have_all_cores(
    threads, one_thread, count
):
    at = {}

    def work(item):
        at[item] = one_thread["now"], threading.current_thread() is threading.main_thread()
        time.sleep(0.005)
        return item * item

    items = list(range(count))
    assert each_on_a_core(work, items) == [item * item for item in items]
    left_over = {1: count, 2: count % 2, 5: count % 5 if count % 5 < 3 else 0}[threads]
    shared = count - left_over
    assert [at[item][0] for item in items] == [1] * shared + [0] * left_over
    assert all(is_main for _, is_main in [at[item] for item in items[shared:]])
    if shared:
        assert not all(is_main for _, is_main in at.values())
    assert one_thread == {"begun": int(shared > 0), "now": 0}


@pytest.mark.parametrize(
    ("items", "cores_there", "at_once"),
    [(1, 1, 0), (3, 1, 0), (1, 2, 0), (2, 2, 2), (3, 2, 2), (2, 4, 0), (3, 4, 3), (8, 16, 8),
     (4, 16, 0), (17, 16, 16), (12, 8, 12), (0, 8, 0)],
)  # fmt: skip
def test_so_many_have_a_core_each_as_are_sooner_done_so(items, cores_there, at_once):
    """A fifth of an encoder's time is no product."""
    assert cores._count_at_once(items, cores_there) == at_once


@pytest.mark.skipif(sys.platform != "linux", reason="tells of threads by /proc")
def test_threads_that_wait_are_no_more_from_time_to_time(monkeypatch):
    """Those of MLX are in none of Python's lists."""
    monkeypatch.setattr(cores, "thread_count", lambda: 3)

    def work(_):
        mx.eval(mx.ones((8, 8)) @ mx.ones((8, 8)))
        time.sleep(0.001)

    def there():
        return len(list(Path("/proc/self/task").iterdir()))

    each_on_a_core(work, range(12))
    before = there()
    for _ in range(20):
        each_on_a_core(work, range(12))
    assert there() <= before + 4  # MLX's of one that had nothing to do yet


def test_what_others_made_of_theirs_is_not_held_by_an_error(threads):
    class Made:
        pass

    made = []

    def work(item):
        if item == 4:
            raise MemoryError("no room")
        one = Made()
        made.append(weakref.ref(one))
        return one

    with pytest.raises(MemoryError) as raised:
        each_on_a_core(work, range(12))
    assert len(made) >= 1
    assert [one() for one in made if one() is not None] == []
    del raised


def test_a_process_that_has_used_them_ends(tmp_path):
    script = (
        "import alignheads.runtime.models.cpu.cores as cores\n"
        "from alignheads.runtime.models.backend import mx\n"
        "cores.thread_count = lambda: 3\n"
        "print(cores.each_on_a_core(lambda n: float(mx.ones(9).sum()) + n, range(9)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, cwd=tmp_path
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{[9.0 + n for n in range(9)]}\n"


def test_arrays_of_mlx_come_from_any_thread_and_are_computed_with_in_this_one(threads):
    weights = mx.random.normal((64, 64))
    given = [mx.random.normal((8, 64)) for _ in range(7)]
    mx.eval(weights, given)
    names = set()

    def work(x):
        names.add(threading.current_thread().name)
        made = mx.softmax(x @ weights, axis=-1)
        mx.eval(made)
        time.sleep(0.002)
        return made

    for _ in range(3):
        found = mx.stack(each_on_a_core(work, given))
        assert mx.allclose(found.sum(axis=-1), mx.ones((7, 8)), atol=1e-5)
        assert mx.allclose(found, mx.softmax(mx.stack(given) @ weights, axis=-1), atol=1e-5)
    assert len(names) == 1 if threads == 1 else len(names) > 1


def test_an_error_on_a_core_is_raised_once_nobody_is_at_work_any_more(threads, one_thread):
    begun, ended = [], []

    def work(item):
        begun.append(item)
        if item == 3:
            mx.eval(mx.ones(3) + item)
            raise MemoryError("no room")
        time.sleep(0.01)
        ended.append(item)

    with pytest.raises(MemoryError, match="no room"):
        each_on_a_core(work, range(100))
    assert set(begun) == {*ended, 3}
    assert len(begun) < 10
    assert one_thread["now"] == 0
    assert each_on_a_core(lambda item: item, range(6)) == list(range(6))
