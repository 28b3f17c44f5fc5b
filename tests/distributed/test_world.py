"""Shares of the work without other processes; the watch over processes with invented ones."""

import os
import threading
import time

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributed import TCPStore

from instructgpt.distributed import sharding
from instructgpt.distributed import watch as watch_module
from instructgpt.distributed import world as world_module
from instructgpt.distributed.joining import unused
from instructgpt.distributed.watch import Watch
from instructgpt.distributed.world import MicroBatch, Stopped, World
from instructgpt.errors import UserError
from instructgpt.models.device import VISITED
from instructgpt.sft.config import SFTConfig
from tests.files import sentence
from tests.tiny import tiny_model

# -------------------------------------------------------------------- shares


class Alone(World):
    """One of several processes, which never asks the others."""

    def stop_if_asked(self) -> None:
        pass


def shares(lengths, budget, rows, size) -> list[list[MicroBatch]]:
    """Each process's micro-batches."""
    return [list(Alone(rank, size).micro_batches(lengths, budget, rows)) for rank in range(size)]


items = st.lists(st.tuples(st.integers(1, 40), st.integers(1, 5)), min_size=1, max_size=20)


@given(items, st.integers(1, 120), st.integers(1, 5))
def test_every_item_is_forwarded_once_and_all_processes_make_as_many_passes(made, budget, size):
    lengths, rows = [length for length, _ in made], [count for _, count in made]
    found = shares(lengths, budget, rows, size)
    assert len({len(own) for own in found}) == 1
    real = [batch for own in found for batch in own if batch.weight]
    assert sorted(index for batch in real for index in batch.indices) == list(range(len(made)))
    assert {batch.weight for own in found for batch in own} <= {0.0, 1.0}
    numbers = [batch.number for own in found for batch in own]
    assert sorted(numbers) == list(range(len(numbers)))
    widest = max(length * count for length, count in made)
    for batch in real:
        width = max(lengths[i] for i in batch.indices)
        assert width * sum(rows[i] for i in batch.indices) <= max(budget, widest)


@given(items, st.integers(2, 5))
def test_a_process_without_a_share_forwards_the_shortest_item(made, size):
    lengths = [length for length, _ in made]
    for own in shares(lengths, 1, None, size):
        for batch in own:
            if not batch.weight:
                assert [lengths[i] for i in batch.indices] == [min(lengths)]


def test_items_enough_for_all_are_shared_by_all():
    """A generous budget must not leave the work to one of two."""
    for own in shares([5, 4, 4, 3], 1000, None, 2):
        assert own[0].weight == 1


def test_alone_nothing_is_shared():
    one = World()
    assert one.is_first
    assert one.map_shares([3, 1, 2], lambda mine: [10 * item for item in mine]) == [30, 10, 20]
    assert one.once(lambda: "done") == "done"
    assert one.gather("own") == ["own"]
    assert one.maxima([1.0, -2.0]) == [1.0, -2.0]
    assert one.sum(torch.tensor([1.0, 2.0])).tolist() == [1.0, 2.0]


# -------------------------------------------------------------------- stopping


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass when the test says so."""
    now = [100.0]
    monkeypatch.setattr(world_module.time, "monotonic", lambda: now[0])
    return now


def test_a_step_has_a_grace_after_a_signal(clock):
    one = World()
    one.stop_if_asked()
    one.ask_to_stop()
    clock[0] += 4.9
    one.stop_if_asked()
    one.stop_alone_if_asked()
    clock[0] += 0.1
    for check in (one.stop_if_asked, one.stop_alone_if_asked):
        with pytest.raises(Stopped):
            check()
    one.forget_stop()
    one.stop_if_asked()


def test_what_must_be_finished_is_not_given_up(clock):
    one = World()
    one.ask_to_stop()
    clock[0] += 60
    with one.to_the_end():
        one.stop_if_asked()
        assert one.asked_to_stop
    with pytest.raises(Stopped):
        one.stop_if_asked()


# -------------------------------------------------------------------- joining


@pytest.mark.parametrize("missing", ["RANK", "MASTER_ADDR", "MASTER_PORT"])
def test_half_of_an_environment_is_refused(missing, monkeypatch):
    for name, value in (("WORLD_SIZE", "2"), ("RANK", "0"), ("MASTER_ADDR", "x")):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MASTER_PORT", "1")
    monkeypatch.delenv(missing)
    with pytest.raises(UserError, match=missing) as raised:
        world_module.world.__wrapped__()
    assert "torchrun" in sentence(raised)


@pytest.fixture
def store():
    return TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)


def test_processes_that_start_again_find_nothing_of_their_first_start(store):
    for start in (1, 2, 3):
        if start == 2:  # one of them dies before it has asked
            store.set("asked/1", "a name of an earlier start")
        found = {}

        def join(rank, found=found):
            found[rank] = unused(store.clone(), rank, 3)

        threads = [threading.Thread(target=join, args=(rank,)) for rank in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert sorted(found) == [0, 1, 2]
        assert not found[0].check(["key"])
        found[2].set("key", str(start))
        assert [found[rank].get("key").decode() for rank in range(3)] == [str(start)] * 3


# -------------------------------------------------------------------- watching


@pytest.fixture
def ended(monkeypatch):
    """The codes with which processes end: here the thread that ends one waits forever instead.

    Signs of life come twenty times as often.
    """
    codes = []

    def end(code):
        codes.append(code)
        threading.Event().wait()

    monkeypatch.setattr(os, "_exit", end)
    monkeypatch.setattr(watch_module, "EVERY_SECONDS", 0.1)
    monkeypatch.setattr(watch_module, "TELLING_SECONDS", 0.6)
    return codes


@pytest.fixture
def watches(store, ended):
    """Processes that watch each other."""
    made = [Watch(store, rank, 3) for rank in range(3)]
    yield made
    for watch in made:
        watch.end()


def wait_for(is_so):
    begun = time.monotonic()
    while not is_so():
        assert time.monotonic() - begun < 10
        time.sleep(0.01)


def test_a_silent_process_ends_all_others(watches, ended, monkeypatch, capsys):
    monkeypatch.setattr(watch_module, "SILENT_SECONDS", 1.0)
    time.sleep(1.2)
    assert ended == []  # all live
    watches[1].end()
    wait_for(lambda: len(ended) == 2)
    heard = capsys.readouterr().err
    for rank in (0, 2):
        assert f"process {rank} ends because of process 1, silent for 1 s; run" in heard


def test_a_reason_reaches_those_that_wait(watches, ended, capsys):
    assert watches[2].tell("no space left")
    wait_for(lambda: len(ended) == 2)
    heard = capsys.readouterr().err
    for rank in (0, 1):
        assert f"process {rank} ends because of process 2: no space left; run the same" in heard


def test_what_all_find_is_said_once(watches, ended):
    said = {}

    def tell(rank):
        said[rank] = watches[rank].tell("no such file")

    threads = [threading.Thread(target=tell, args=(rank,)) for rank in (2, 1, 0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert said == {0: True, 1: False, 2: False}
    assert ended == []


def test_who_lost_another_names_it(watches, capsys):
    """The error of a collective says nothing but an address."""
    watches[1].end()
    assert not watches[0].tell("failed: [gloo/transport/tcp/pair.cc:553] Connection closed by peer")
    assert "process 0 ends because of process 1, which is gone" in capsys.readouterr().err


def test_an_error_of_all_collectives_is_said_itself(watches, capsys):
    """Nobody is gone: the cause is the machine's."""
    assert watches[0].tell("NCCL error: no network")
    assert "gone" not in capsys.readouterr().err


@pytest.mark.parametrize("ending", [Watch.end, lambda watch: watch.tell("no space left")])
def test_no_thread_outlives_the_watch(store, ended, ending):
    """One that is inside the store's C++ when the interpreter ends aborts the process."""
    before = set(threading.enumerate())
    watch = Watch(store, 1, 2)
    begun = set(threading.enumerate()) - before
    assert len(begun) == 2
    ending(watch)
    assert not any(thread.is_alive() for thread in begun)


def test_a_store_that_is_gone(ended, capsys):
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    watch = Watch(store, 1, 2)
    del store
    wait_for(lambda: ended == [1])
    watch.end()
    assert "process 1 ends because of process 0, which is gone" in capsys.readouterr().err


# -------------------------------------------------------------------- settings


def test_shards_that_do_not_divide_the_processes():
    config = SFTConfig.load(model="m", data="d", out="o", shard_size=3)
    with pytest.raises(UserError, match="shard_size 3 does not divide the 4 processes") as raised:
        sharding.shard(tiny_model(), config, World(0, 4))
    sentence(raised)


def test_offloading_and_precision_are_passed_on(monkeypatch, patched):
    """They act on a GPU alone: what torch is asked for is looked at."""
    from torch.distributed import fsdp

    asked = []

    monkeypatch.setattr(fsdp, "fully_shard", lambda _, **settings: asked.append(settings))
    monkeypatch.setattr(fsdp, "register_fsdp_forward_method", lambda *_: None)
    monkeypatch.setattr(sharding, "_mesh", lambda *_: None)
    config = SFTConfig.load(model="m", data="d", out="o", cpu_offload=True, dtype="bfloat16")
    model = tiny_model()
    VISITED[model] = torch.device("cuda")
    patched(sharding, "head_is_plain", lambda _: True)  # would compute there
    sharding.shard(model, config, World(0, 2))
    assert len(asked) == 3  # two layers and what is around them
    for settings in asked:
        assert isinstance(settings["offload_policy"], fsdp.CPUOffloadPolicy)
        assert settings["mp_policy"].param_dtype == torch.bfloat16
        assert settings["mp_policy"].reduce_dtype == torch.float32
