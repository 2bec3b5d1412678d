"""Makes the pictures of the documentation: fills the demo's shop, sends it to a simulated Blueshift, and looks at it.

Usage: `python tools/screenshots.py` writes docs/images; with `--check` it makes the pictures elsewhere and compares
their sizes with the committed ones. Needs the development environment and Chromium.
"""

import argparse
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import django

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from blueshift_sync.testing.process import Simulator, SimulatorError  # noqa: E402 - found only now
from project.embedded_redis import EmbeddedRedis, RedisUnavailableError  # noqa: E402

IMAGES = ROOT / "docs" / "images"
SCENARIO = ROOT / "project" / "demo" / "scenario.json"
CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")
#: Pages of which there is a picture in the dark theme, too.
ALSO_DARK = ("overview", "api-call")
WIDTH, HEIGHT = 1360, 1480
TIMEOUT_SECONDS = 120


class ScreenshotError(Exception):
    """What kept the pictures from being made, as a sentence."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Makes the pictures of the documentation.")
    parser.add_argument("--check", action="store_true", help="leave the committed ones alone and compare the sizes")
    options = parser.parse_args()
    chromium = find_chromium()
    with TemporaryDirectory(prefix="screenshots-") as name:
        made = Path(name, "images")
        made.mkdir()
        with pages(Path(name)) as addresses:
            for picture, address in addresses.items():
                take(chromium, address, made / f"{picture}.png")
            for picture in ALSO_DARK:
                take(chromium, addresses[picture], made / f"{picture}-dark.png", dark=True)
        if options.check:
            compare(made)
        else:
            shutil.copytree(made, IMAGES, dirs_exist_ok=True)


def find_chromium() -> str:
    found = next(filter(None, map(shutil.which, CHROMIUMS)), None)
    if found is None:
        raise ScreenshotError(f"There is no Chromium ({', '.join(CHROMIUMS)}) on PATH: apt-get install chromium")
    return found


@contextmanager
def pages(directory: Path) -> Iterator[dict[str, str]]:
    """Runs the demo's site in `directory`. Yields the address to be shown in each picture, by its name."""
    with EmbeddedRedis(directory) as redis, Simulator(scenario_file=SCENARIO) as blueshift:
        os.environ.pop("BLUESHIFT_API_KEY", None)
        os.environ.update(
            DJANGO_SETTINGS_MODULE="project.settings",
            DEMO_VAR=str(directory),
            REDIS_URL=redis.url,
            SIMULATOR_URL=blueshift.url,
        )
        django.setup()
        import screenshot_site  # noqa: PLC0415 - only now are the settings what they should be

        screenshot_site.send_shop()
        with screenshot_site.served() as site:
            yield {name: site + path for name, path in screenshot_site.paths().items()}


def take(chromium: str, address: str, picture: Path, *, dark: bool = False) -> None:
    with TemporaryDirectory(prefix="chromium-") as profile:
        switches = [
            *("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run", "--disable-sync"),
            *("--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"),
            *("--force-device-scale-factor=1", f"--blink-settings=preferredColorScheme={int(not dark)}"),
            f"--user-data-dir={profile}",
            f"--window-size={WIDTH},{HEIGHT}",
            f"--screenshot={picture}",
        ]
        try:
            ended = subprocess.run(
                [chromium, *switches, address],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=TIMEOUT_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise ScreenshotError(f"Chromium took longer than {TIMEOUT_SECONDS} s for {picture.name}.") from None
    if ended.returncode or not picture.is_file():
        raise ScreenshotError(f"Chromium made no {picture.name}. The end of what it said:\n{ended.stderr[-1000:]}")


def compare(made: Path) -> None:
    """Raises ScreenshotError for a picture that the documentation lacks, or has in another size."""
    for picture in sorted(made.iterdir()):
        committed = IMAGES / picture.name
        name = committed.relative_to(ROOT)
        if not committed.is_file():
            raise ScreenshotError(f"{name} is missing: run tools/screenshots.py.")
        if size(committed) != size(picture):
            raise ScreenshotError(
                f"{name} has {size(committed)} pixels, a new one {size(picture)}: run tools/screenshots.py."
            )
        print(f"{name}: {size(picture)[0]} x {size(picture)[1]} pixels, as committed.")


def size(picture: Path) -> tuple[int, int]:
    """Width and height, as the header of a PNG file says."""
    width, height = struct.unpack(">II", picture.read_bytes()[16:24])
    return width, height


if __name__ == "__main__":
    try:
        main()
    except (ScreenshotError, RedisUnavailableError, SimulatorError) as error:
        sys.exit(str(error))
