"""The pytest plugin: `blueshift`, a simulator of Blueshift's API that the site under test talks to.

Loaded by pytest wherever this package is installed, so the simulator and Django are imported only when a
fixture asks for them.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from blueshift_sync.testing.process import Simulator


@pytest.fixture(scope="session")
def blueshift_simulator() -> "Iterator[Simulator]":
    """The simulator's process, one per test session (and per worker of pytest-xdist)."""
    from blueshift_sync.testing.process import Simulator, SimulatorError  # noqa: PLC0415

    simulator = Simulator()
    try:
        simulator.start()
    except SimulatorError as error:
        pytest.fail(str(error), pytrace=False)
    yield simulator
    simulator.stop()


@pytest.fixture
def blueshift(request: pytest.FixtureRequest) -> "Simulator":
    """An empty simulator. For this test the site's `BLUESHIFT_SYNC` points at it; its other keys stay."""
    if not request.config.pluginmanager.has_plugin("django"):
        pytest.fail(
            "The fixture `blueshift` needs pytest-django to change the settings: pip install pytest-django.",
            pytrace=False,
        )
    settings = request.getfixturevalue("settings")
    simulator: Simulator = request.getfixturevalue("blueshift_simulator")
    simulator.reset()
    existing = getattr(settings, "BLUESHIFT_SYNC", {})
    settings.BLUESHIFT_SYNC = {**existing, "BASE_URL": simulator.url, "API_KEY": simulator.api_key}
    return simulator
