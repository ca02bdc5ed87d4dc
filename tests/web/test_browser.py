"""The page in a real Chromium, with a recording as its microphone.

``SER_EDGE_PICTURES=docs pytest tests/web/test_browser.py`` also writes the pictures of docs there.
"""

from __future__ import annotations

import contextlib
import json
import os
import runpy
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from ser_edge import Result
from tests.helpers.audio import RATE, silence, voice
from tests.helpers.serving import RECORDING, Served, serving

pytest.importorskip("starlette", reason="NO PAGE TESTED: the extra web is not installed")
api = pytest.importorskip("playwright.sync_api", reason="NO PAGE TESTED: playwright is missing")

from ser_edge.web import app  # noqa: E402
from ser_edge.web.history import History  # noqa: E402

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
PICTURES = os.environ.get("SER_EDGE_PICTURES")
MAX_PICTURE_BYTES = 150_000
FIRST_PAINT_BYTES = 100_000
SECONDS = 20_000  # milliseconds that anything may take on a machine that has much else to do

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="NO PAGE TESTED: chromium is not installed"),
]


def week_of_results(path: Path) -> None:
    """A history: some speech on each of the last days, in the morning and in the evening."""
    kept = History(str(path), 30)
    rng = np.random.default_rng(0)
    kinds = ["neutral", "happy", "sad", "angry", "uncertain", "silence"]
    midnight = time.mktime((*time.localtime()[:3], 0, 0, 0, 0, 0, -1))
    for day in range(7):
        for _ in range(60):
            hour = rng.choice([rng.normal(8, 1.5), rng.normal(19, 2)])
            moment = midnight - 86_400 * day + 3600 * min(23.9, max(0.1, hour))
            if moment > time.time():
                continue
            kind = str(rng.choice(kinds, p=[0.3, 0.15, 0.08, 0.05, 0.22, 0.2]))
            none = kind in ("uncertain", "silence")
            label, reason = (None, kind) if none else (kind, None)
            kept.add(Result(label, None, None, 0.0, 2.0, reason), 20.0, moment)
    kept.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    file = tmp_path_factory.mktemp("page") / "history.sqlite"
    week_of_results(file)
    arguments = ["--listen", "-", "--rate", str(RATE), "--history", str(file), "--workers", "1"]
    with serving(*arguments) as service:
        yield service


@pytest.fixture(scope="module")
def microphone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the browser hears again and again: a voice, and silence after it."""
    path = tmp_path_factory.mktemp("microphone") / "voice.wav"
    samples, rate = soundfile.read(RECORDING, dtype="float32")
    heard = np.concatenate([samples, samples[: 2 * rate], silence(2.0, rate)])
    soundfile.write(path, heard, rate, subtype="PCM_16")
    return path


@pytest.fixture(scope="module")
def browser(microphone: Path) -> Iterator[Any]:
    with api.sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=[
                "--no-sandbox",
                "--use-fake-ui-for-media-stream",
                "--use-fake-device-for-media-stream",
                f"--use-file-for-fake-audio-capture={microphone}",
            ],
        )
        yield started
        started.close()


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The source of axe-core, fetched for this run."""
    npm = shutil.which("npm")
    folder = tmp_path_factory.mktemp("axe")
    if npm is None:
        pytest.skip("NO ACCESSIBILITY TESTED: npm is not installed")
    fetch = [npm, "install", "--silent", "--no-audit", "--no-fund", "axe-core@4"]
    if subprocess.run(fetch, cwd=folder, capture_output=True, check=False).returncode:
        pytest.skip("NO ACCESSIBILITY TESTED: axe-core cannot be fetched")
    return (folder / "node_modules/axe-core/axe.min.js").read_text(encoding="utf-8")


@contextlib.contextmanager
def opened(
    browser: Any, served: Served, *, expected: str | None = None, **options: Any
) -> Iterator[Any]:
    """The page, which must not complain on its console, but for what is expected."""
    options.setdefault("viewport", {"width": 1000, "height": 900})
    context = browser.new_context(locale="en-GB", **options)
    context.set_default_timeout(SECONDS)
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda m: said.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(served.url)
    page.wait_for_selector("body[data-ready]")
    yield page
    context.close()
    assert [text for text in said if expected is None or expected not in text] == []


def picture(page: Any, name: str, **options: Any) -> None:
    """Write a picture for the docs, where these are wanted, as small as its colours allow."""
    if PICTURES is None:
        return
    from io import BytesIO

    from PIL import Image

    path = Path(PICTURES, f"{name}.png")
    image = Image.open(BytesIO(page.screenshot(**options))).convert("RGB")
    image.quantize(64, dither=Image.Dither.NONE).save(path, optimize=True)
    assert path.stat().st_size < MAX_PICTURE_BYTES


def speak(served: Served) -> None:
    """Let the device's microphone hear something."""
    samples = np.concatenate([voice(7.0), silence(5.0), voice(4.0)])
    assert served.process.stdin is not None
    served.process.stdin.write(np.rint(samples * 32767).astype("<i2").tobytes())
    served.process.stdin.flush()


def long_recording(folder: Path) -> Path:
    """Voices, and a stretch of silence between; for pictures, those of the docs' other pictures."""
    if PICTURES is not None:
        script = runpy.run_path(str(Path(__file__).parents[2] / "docs" / "make_pictures.py"))
        spoken = []
        for sentence, pause in zip(script["_SPOKEN"], script["_PAUSES"]):
            spoken += [script["_speak"](*sentence), silence(pause, RATE)]
        path = folder / "conversation.wav"
        soundfile.write(path, np.concatenate(spoken), RATE)
        return path
    samples, rate = soundfile.read(RECORDING, dtype="float32")
    slow, fast = samples, samples[::2]
    parts = [samples, fast, fast, silence(5.0, rate), slow, fast, silence(1.0, rate), slow]
    path = folder / "conversation.wav"
    soundfile.write(path, np.concatenate(parts), rate)
    return path


def test_the_first_paint_is_small(browser: Any, served: Served) -> None:
    context = browser.new_context()
    page = context.new_page()
    sizes: dict[str, int] = {}
    page.on("response", lambda answer: sizes.update({answer.url: len(answer.body())}))
    page.goto(served.url)
    page.wait_for_selector("body[data-ready]")
    assert sum(sizes.values()) < FIRST_PAINT_BYTES
    assert all(url.startswith(served.url) for url in sizes)  # nothing from anywhere else
    context.close()
    assert sum(os.path.getsize(path) for path in app.FILES.values()) < FIRST_PAINT_BYTES


def test_recordings_are_answered(browser: Any, served: Served, tmp_path: Path) -> None:
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"no audio")
    with opened(browser, served) as page:
        page.set_input_files("#files", [str(RECORDING), str(long_recording(tmp_path))])
        page.wait_for_selector("#answers svg.chart")
        answers = page.locator("#answers article")
        assert answers.count() == 2
        assert "neutral 82 %" in answers.nth(1).inner_text()
        assert answers.nth(1).locator(".bars .bar").count() == 6
        chart = answers.nth(0).locator("svg.chart")
        assert chart.locator("path").count() == 6
        assert chart.locator("rect.none").count() >= 1
        page.wait_for_timeout(300)
        picture(page, "page")
    # The browser itself tells of every answer that is an error.
    with opened(browser, served, expected="status of 422") as page:
        page.set_input_files("#files", str(broken))
        page.get_by_text("not audio that can be read").wait_for()


def test_the_browser_s_microphone_is_heard_live(browser: Any, served: Served) -> None:
    with opened(browser, served) as page:
        page.click("#listen")
        page.wait_for_selector("#microphone-timeline svg.chart circle")
        page.locator("#microphone-timeline tbody tr").nth(3).wait_for(state="attached")
        kinds = page.locator("#microphone-timeline tbody tr").all_text_contents()
        assert any("%" in kind or "uncertain" in kind for kind in kinds)
        assert page.locator("#microphone-now").inner_text().strip()
        assert float(page.locator("#level").evaluate("meter => meter.value")) >= 0
        page.wait_for_timeout(6000 if PICTURES else 0)
        page.locator("#microphone").scroll_into_view_if_needed()
        picture(page, "page-live", clip=box(page, "#microphone"), full_page=True)
        page.click("#listen")
        page.get_by_role("button", name="Start listening").wait_for()
        assert page.locator("#trouble").is_hidden()


def box(page: Any, selector: str) -> Any:
    """Where an element is on the whole page."""
    return page.locator(selector).evaluate(
        """element => { const r = element.getBoundingClientRect();
           return {x: r.x + scrollX, y: r.y + scrollY, width: r.width, height: r.height}; }"""
    )


def test_the_device_s_microphone_is_followed(browser: Any, served: Served) -> None:
    with opened(browser, served) as page:
        speak(served)
        page.wait_for_selector("#device-timeline svg.chart rect.none")
        page.wait_for_selector("#device-timeline svg.chart circle")
        assert page.locator("#device-now").inner_text().strip()


def test_the_history_is_shown(browser: Any, served: Served) -> None:
    with opened(browser, served) as page:
        page.wait_for_selector("#week svg.chart > rect")
        week = page.locator("#week").inner_text()
        assert "neutral" in week
        assert "uncertain" in week
        assert "silence" not in week  # which is no speech
        shares = [int(word[:-2]) for word in week.splitlines() if word.endswith(" %")]
        assert sum(shares) == pytest.approx(100, abs=3)
        page.click("#reload")
        page.wait_for_selector("#today svg.chart")
        picture(page, "page-history", clip=box(page, "#history"), full_page=True)


def record(page: Any, mood: str, clips: int) -> None:
    for number in range(1, clips + 1):
        page.click(f'[data-mood="{mood}"] .record')
        page.get_by_text(f"Good: {mood}, {number} of 5").wait_for()


def test_a_profile_is_recorded_downloaded_and_used(
    browser: Any, served: Served, tmp_path: Path
) -> None:
    with opened(browser, served) as page:
        for mood in ("neutral", "happy", "fear", "disgust"):
            page.get_by_label(f"Leave out {mood}").click()
        page.fill("#mood", "Calm")
        page.press("#mood", "Enter")
        moods = page.locator("#moods .name").all_inner_texts()
        assert moods == ["sad", "angry", "calm"]
        assert page.locator("#make").is_disabled()
        record(page, "calm", 2)
        record(page, "angry", 2)
        page.get_by_label("Forget the last clip of angry").click()
        assert "1 of 5" in page.locator('[data-mood="angry"]').inner_text()
        record(page, "sad", 1)
        page.click("#make")
        with page.expect_download() as download:
            page.click("#download")
        download.value.save_as(tmp_path / "voice.json")
        profile = json.loads((tmp_path / "voice.json").read_text())
        assert profile["clips"] == {"sad": 1, "angry": 1, "calm": 2}
        page.click("#use")
        assert "sad, angry, calm" in page.inner_text("#profile-in-use")
        page.set_input_files("#files", str(RECORDING))
        page.wait_for_selector("#answers .bars")
        assert page.locator("#answers .bars .bar").count() == 3
        page.get_by_role("button", name="Without it").click()
        assert page.locator("#profile-in-use").is_hidden()
        page.set_input_files("#own", str(tmp_path / "voice.json"))
        page.get_by_text("A profile is in use on this page").wait_for()


def test_it_is_used_with_a_keyboard_alone(browser: Any, served: Served, tmp_path: Path) -> None:
    with opened(browser, served) as page:
        # From the start, for a chooser that opens before the browser hands them over is lost.
        choosers: list[Any] = []
        page.on("filechooser", lambda chooser: choosers.append(chooser))
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        wanted = {"files", "windows", "listen", "reload", "language", "mood", "add", "own"}
        # No further than needed: past the last one the focus leaves the page, and comes back late.
        for _ in range(60):
            page.keyboard.press("Tab")
            wanted.discard(page.evaluate("document.activeElement.id"))
            if not wanted:
                break
        assert not wanted
        page.focus("#files")
        page.keyboard.press("Space")
        deadline = time.monotonic() + SECONDS / 1000
        while not choosers and time.monotonic() < deadline:
            page.wait_for_timeout(20)
        assert choosers, page.evaluate("document.activeElement.outerHTML")
        choosers[0].set_files(str(RECORDING))
        page.wait_for_selector("#answers .bars")
        page.focus("#listen")
        page.keyboard.press("Space")
        page.wait_for_selector("#microphone-timeline svg.chart")
        page.keyboard.press("Space")
        page.focus("#mood")
        page.keyboard.type("bored")
        page.keyboard.press("Enter")
        assert "bored" in page.locator("#moods").inner_text()
        outline = page.evaluate(
            "getComputedStyle(document.activeElement).outlineStyle"
        )  # where one is, is seen
        assert outline == "solid"


def test_it_fits_a_phone(browser: Any, served: Served, tmp_path: Path) -> None:
    phone = {"viewport": {"width": 360, "height": 780}, "device_scale_factor": 1}
    with opened(browser, served, **phone) as page:
        page.set_input_files("#files", str(long_recording(tmp_path)))
        page.wait_for_selector("#answers svg.chart")
        page.wait_for_selector("#week svg.chart")
        overflow = page.evaluate(
            """() => [...document.querySelectorAll('body *')]
               .filter(e => e.getBoundingClientRect().right > innerWidth + 1
                            && !e.closest('.wide, .skip'))
               .map(e => e.outerHTML.slice(0, 80))"""
        )
        assert overflow == []
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        picture(page, "page-phone")


def test_it_is_dark_in_the_dark(browser: Any, served: Served, tmp_path: Path) -> None:
    with opened(browser, served, color_scheme="dark") as page:
        page.set_input_files("#files", str(long_recording(tmp_path)))
        page.wait_for_selector("#answers svg.chart")
        back = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert max(int(part) for part in back[4:-1].split(", ")) < 64
        neutral = page.locator("#answers svg.chart g").first.evaluate(
            "group => getComputedStyle(group).stroke"
        )
        assert min(int(part) for part in neutral[4:-1].split(", ")) > 128
        picture(page, "page-dark")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault(
    browser: Any, served: Served, axe: str, scheme: str, tmp_path: Path
) -> None:
    with opened(browser, served, color_scheme=scheme) as page:
        page.set_input_files("#files", str(long_recording(tmp_path)))
        page.wait_for_selector("#answers svg.chart")
        page.click("#listen")
        page.wait_for_selector("#microphone-timeline svg.chart")
        page.click("#listen")
        page.evaluate(axe)
        found = page.evaluate("axe.run()")
        faults = [
            (fault["id"], fault["impact"], [node["html"][:120] for node in fault["nodes"]][:3])
            for fault in found["violations"]
            if fault["impact"] in ("serious", "critical")
        ]
        assert faults == []
        assert len(found["passes"]) > 20


def test_a_token_is_asked_for_and_kept(browser: Any, tmp_path: Path) -> None:
    token = "0123456789abcdef"
    file = tmp_path / "token"
    file.write_text(token)
    with serving("--token-file", str(file), "--workers", "0") as service:
        context = browser.new_context(http_credentials={"username": "anybody", "password": token})
        page = context.new_page()
        page.goto(service.url)
        page.wait_for_selector("body[data-ready]")
        page.click("#listen")
        page.wait_for_selector("#microphone-timeline svg.chart", timeout=SECONDS)
        context.close()
