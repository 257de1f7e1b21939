"""Fixtures, and the order in which the tests run."""

from __future__ import annotations

import os
import pathlib
from typing import Iterator

import pytest

from scene import Scene
from wskeepd_process import WSKEEPD


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow(seconds): takes about so long, and starts early")
    config.addinivalue_line("markers", "soak: has a long form, for make soak")
    config.addinivalue_line("markers", "no_daemon: checks the tests' own tools")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Slow tests first, and with xdist one at the start of each worker's share."""

    def seconds(item: pytest.Item) -> float:
        marker = item.get_closest_marker("slow")
        return float(marker.args[0]) if marker else 0.0

    slow = sorted((i for i in items if seconds(i)), key=lambda i: (-seconds(i), i.nodeid))
    quick = [i for i in items if not seconds(i)]
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    share = max(len(items) // (4 * workers), 2)  # what xdist hands to each worker first
    rounds: list[pytest.Item] = []
    piles = [slow[worker::workers] for worker in range(workers)]
    for pile in piles:
        filler = max(0, share - len(pile))
        rounds += pile + quick[:filler]
        del quick[:filler]
    items[:] = rounds + quick


@pytest.fixture
def scene(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Iterator[Scene]:
    if not request.node.get_closest_marker("no_daemon"):
        assert WSKEEPD.exists(), f"{WSKEEPD} is not built (or set WSKEEPD)"
    scene = Scene(tmp_path)
    try:
        yield scene
    finally:
        scene.stop()
