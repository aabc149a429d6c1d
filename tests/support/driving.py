"""The tab as a person uses it, and what they see there."""

import base64
import csv
import io

import numpy as np
from PIL import Image

PATIENCE = 30_000  # ms


class Tab:
    """The tab "Curvature" within a page of TensorBoard.

    Attributes:
        page: the whole page.
        frame: the frame of the tab.
        wrong: errors that the console or the page reported, and what was asked of other machines.
    """

    def __init__(self, page, address, *, runs=None):
        self.page = page
        self.wrong = []
        self._watch(page, address)
        self.frame = self._opened(page, address)
        self.frame.wait_for_selector(".plot canvas", timeout=PATIENCE)
        if runs is not None:
            self.choose(*runs)

    def _watch(self, page, address):
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("console", self._heard)
        page.on("dialog", self._asked)
        page.on("request", lambda request: self._requested(request.url, address))

    def _opened(self, page, address):
        page.goto(f"{address}/#curvature")
        return page.wait_for_selector("iframe", timeout=PATIENCE).content_frame()

    def _heard(self, message):
        if message.type == "error":
            self.wrong.append(message.text)

    def _asked(self, dialog):
        self.wrong.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _requested(self, url, address):
        if not url.startswith((address, "data:", f"blob:{address}")):
            self.wrong.append(f"request: {url}")

    def choose(self, *runs):
        """Leaves these runs chosen and no others."""
        boxes = self.frame.locator("aside li")
        listed = max(1, len(runs))  # runs are read one by one
        self.frame.wait_for_selector(f"aside li:nth-child({listed})")
        for i in range(boxes.count()):
            box = boxes.nth(i)
            box.locator("input").set_checked(box.inner_text() in runs)
        self.frame.wait_for_function(
            "n => document.querySelectorAll('.column').length === n", arg=len(runs)
        )
        self.settled()

    def settled(self):
        """Waits until nothing is drawn any more."""
        self.frame.evaluate(
            """async () => {
              let before = -1;
              for (;;) {
                await new Promise((resolve) => setTimeout(resolve, 60));
                const now = performance.getEntriesByName("curvature move").length;
                if (now === before) return;
                before = now;
              }
            }"""
        )

    @property
    def labels(self):
        return self.frame.locator(".column h2").all_inner_texts()

    @property
    def epoch(self):
        return self.frame.locator(".epoch").inner_text()

    def wait_for_epoch(self, text):
        """Waits until the page itself shows this epoch."""
        self.frame.wait_for_function(
            "text => document.querySelector('.epoch').textContent === text", arg=text,
            timeout=PATIENCE,
        )  # fmt: skip

    def move(self, place):
        """Moves the slider, as dragging it does."""
        self.frame.locator("#epoch").evaluate(
            "(slider, to) => { slider.value = to; slider.dispatchEvent(new Event('input')); }",
            place,
        )
        self.settled()

    def column(self, label):
        return self.frame.locator(".column").filter(has=self.frame.locator("h2", has_text=label))

    def chart(self, label, title):
        heading = self.frame.locator("h3", has_text=title)
        return self.column(label).locator(".chart").filter(has=heading)

    def picture(self, label, title):
        """The pixels of a chart's canvas, on the colour of the page."""
        data = (
            self.chart(label, title)
            .locator("canvas")
            .evaluate(
                """canvas => {
              const copy = document.createElement('canvas');
              [copy.width, copy.height] = [canvas.width, canvas.height];
              const ctx = copy.getContext('2d');
              ctx.fillStyle = getComputedStyle(document.body).backgroundColor;
              ctx.fillRect(0, 0, copy.width, copy.height);
              ctx.drawImage(canvas, 0, 0);
              return copy.toDataURL().split(',')[1];
            }"""
            )
        )
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"), dtype=int)

    def frame_of(self, label, title):
        """Left, top, width and height of the plot within its canvas, in pixels."""
        return self.chart(label, title).evaluate(
            """chart => {
              const inner = chart.querySelector('.u-over').getBoundingClientRect();
              const outer = chart.querySelector('canvas').getBoundingClientRect();
              return [inner.left - outer.left, inner.top - outer.top, inner.width, inner.height];
            }"""
        )

    def saved(self, label, title, kind):
        """What the button PNG or CSV saves: its name and its bytes."""
        button = self.chart(label, title).get_by_role("button", name=kind)
        with self.page.expect_download() as download:
            button.click()
        with open(download.value.path(), "rb") as file:
            return download.value.suggested_filename, file.read()

    def table(self, label, title):
        """The numbers of a chart, by the head of their column."""
        text = self.saved(label, title, "CSV")[1].decode()
        head, *rows = csv.reader(io.StringIO(text))
        return {name: np.array([_number(row[i]) for row in rows]) for i, name in enumerate(head)}

    def theme(self, name):
        """Chooses TensorBoard's theme."""
        self.page.locator("app-header-dark-mode-toggle button").click()
        self.page.get_by_role("menuitem", name=name, exact=True).click()
        self.frame.wait_for_function(
            "name => document.documentElement.dataset.theme === name", arg=name.lower()
        )
        self.settled()

    def shoot(self, path, height=1120):
        """Keeps a screenshot in at most 256 colours, a third of the size."""
        usual = self.page.viewport_size
        self.page.set_viewport_size(usual | {"height": height})
        self.settled()
        self.page.mouse.move(2, 2)
        self.page.wait_for_timeout(400)  # TensorBoard fades its menu out
        shot = Image.open(io.BytesIO(self.page.screenshot())).convert("RGB")
        shot.quantize(256, kmeans=1, dither=Image.Dither.NONE).save(path, optimize=True)
        self.page.set_viewport_size(usual)


class Alone(Tab):
    """The page by itself: a file, or what a server shows."""

    def _opened(self, page, address):
        page.goto(address)
        return page.main_frame

    def theme(self, name):
        """Chooses the page's own theme."""
        self.frame.get_by_role("combobox", name="Theme").select_option(label=name.lower())
        self.frame.wait_for_function(
            "name => document.documentElement.dataset.theme === name", arg=name.lower()
        )
        self.settled()


class Framed(Tab):
    """The page in a frame of another one: the output of a notebook."""

    def _opened(self, page, address):
        page.goto(address)
        return page.wait_for_selector("iframe", timeout=PATIENCE).content_frame()


def _number(text):
    try:
        return float(text) if text else np.nan
    except ValueError:
        return text


def near(picture, colour, tolerance=40):
    """Where a picture has about this colour."""
    wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return np.abs(picture - wanted).sum(axis=-1) <= tolerance
