"""A browser that tests drive as a person would, with checks of its pages."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.select import Select
from selenium.webdriver.support.ui import WebDriverWait

SCREENSHOTS: Path = settings.VAR_DIR / "screenshots"
AXE = Path(__file__).with_name("vendor") / "axe.min.js"

DEVICES = {"desktop": (1280, 900), "phone": (390, 844)}
PASSWORD = "secret"

FOCUSABLE = "a[href]:not([tabindex='-1']), button, select, summary, input:not([type=hidden]), [tabindex='0']"
SHOWN = f"""
    return [...document.querySelectorAll("{FOCUSABLE}")].filter(
        (each) => each.checkVisibility({{contentVisibilityAuto: true}}) && !each.disabled
    )
"""
FOCUS = """
    const each = document.activeElement, style = getComputedStyle(each);
    const box = each.getBoundingClientRect();
    return [each, style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2, box.width > 0 && box.height > 0]
"""


@dataclass
class Browser:
    driver: webdriver.Chrome
    server: str
    device: str = "desktop"

    def begin(self) -> None:
        self.driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
        self.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
        self.on("desktop")
        self.in_theme("light")
        self.open("/login/")
        self.driver.execute_script("localStorage.clear()")
        self.problems()

    def on(self, device: str) -> None:
        self.device = device
        self._resize(*DEVICES[device])

    def in_theme(self, theme: str) -> None:
        """Set the colour scheme that the system prefers."""
        features = [{"name": "prefers-color-scheme", "value": theme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def open(self, address: str) -> None:
        self.driver.get(self.server + address)

    def log_in(self, name: str, language: str = "en") -> None:
        """Log in with the form, in this language."""
        self.open("/login/")
        if self.attribute("html", "lang") != language:
            self.click(f"button[name=language][value={language}]")
            self.wait_for(f"html[lang={language}]")
        self.one("[name=username]").send_keys(name)
        self.one("[name=password]").send_keys(PASSWORD)
        self.click("#login-form button")
        WebDriverWait(self.driver, 20).until(lambda _driver: not self.address.startswith("/login/"))
        self.wait_for("main")

    # ── Content of the page ──────────────────────────────────────────────────────────────────────────────────────

    @property
    def address(self) -> str:
        return self.driver.current_url.removeprefix(self.server)

    def one(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def texts(self, selector: str) -> list[str]:
        """The texts of the elements, including folded ones."""
        return [str(each.get_property("textContent")).strip() for each in self.all(selector)]

    def attribute(self, selector: str, name: str) -> str:
        return self.one(selector).get_attribute(name) or ""

    def table(self, caption: str) -> list[list[str]]:
        """The rows of the table whose caption contains this text."""
        rows: list[list[str]] = self.driver.execute_script(
            """
            const table = [...document.querySelectorAll("table")].find(
                (each) => each.caption.textContent.includes(arguments[0]));
            return [...table.rows].map((row) => [...row.cells].map((cell) => cell.innerText.trim()))
            """,
            caption,
        )
        return rows

    # ── Actions ──────────────────────────────────────────────────────────────────────────────────────────────────

    def click(self, selector: str) -> None:
        element = self.one(selector)
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
        element.click()

    def follow(self, text: str) -> None:
        link = self.driver.find_element(By.LINK_TEXT, text)
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", link)
        link.click()

    def choose(self, name: str, value: str) -> None:
        Select(self.one(f"select[name={name}]")).select_by_value(value)

    def download(self, address: str) -> str:
        """Return the body at this address, requested with the browser's session."""
        text: str = self.driver.execute_async_script(
            "const done = arguments[1]; fetch(arguments[0]).then((answer) => answer.text()).then(done)", address
        )
        return text

    def arrive(self, address: str) -> None:
        """Wait until the page at this address has loaded."""
        WebDriverWait(self.driver, 20).until(
            lambda driver: (
                self.address == address and driver.execute_script("return document.readyState") == "complete"
            ),
            f"at {self.address}, not at {address}",
        )

    def wait_for(self, selector: str) -> None:
        WebDriverWait(self.driver, 20).until(lambda _driver: self.all(selector))

    # ── Checks ───────────────────────────────────────────────────────────────────────────────────────────────────

    def problems(self) -> list[str]:
        """Return the errors and warnings in the console since the last call."""
        entries: list[dict[str, str]] = self.driver.get_log("browser")  # type: ignore[no-untyped-call]
        return [entry["message"] for entry in entries if entry["level"] in ("SEVERE", "WARNING")]

    def overflow(self) -> int:
        """Return by how many pixels the page is wider than the screen."""
        return int(self.driver.execute_script("return document.documentElement.scrollWidth - innerWidth"))

    def faults(self) -> list[tuple[str, str, list[str]]]:
        """Return the serious and critical violations that axe-core finds: rule, help, elements."""
        self.driver.execute_script(AXE.read_text())
        result: dict[str, Any] = self.driver.execute_async_script(
            "const done = arguments[0]; axe.run(document, {resultTypes: ['violations']}).then(done)"
        )
        return [
            (fault["id"], fault["help"], [node["html"][:200] for node in fault["nodes"][:5]])
            for fault in result["violations"]
            if fault["impact"] in ("serious", "critical")
        ]

    def tabbed(self, most: int = 500) -> tuple[list[WebElement], list[str]]:
        """Return the elements that Tab reaches from the top of the page, and those without a visible focus."""
        self.driver.execute_script("document.body.tabIndex = -1; document.body.focus()")
        reached: list[WebElement] = []
        unseen: list[str] = []
        body = self.one("body")
        for _ in range(most):
            webdriver.ActionChains(self.driver).send_keys(Keys.TAB).perform()
            element, is_outlined, is_there = self.driver.execute_script(FOCUS)
            if element == body or (reached and element == reached[0]):
                break
            reached.append(element)
            if not (is_outlined and is_there):
                unseen.append(str(element.get_attribute("outerHTML"))[:200])
        return reached, unseen

    def focusable(self) -> list[WebElement]:
        found: list[WebElement] = self.driver.execute_script(SHOWN)
        return found

    def photograph(self, name: str) -> Path:
        """Save a picture of the whole page in `var/screenshots`."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        width, height = DEVICES[self.device]
        whole = int(self.driver.execute_script("return document.documentElement.scrollHeight"))
        self._resize(width, max(height, whole))
        picture = self.driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})
        self._resize(width, height)
        file = SCREENSHOTS / f"{name}.png"
        file.write_bytes(base64.b64decode(picture["data"]))
        return file

    def _resize(self, width: int, height: int) -> None:
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": self.device == "phone"}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
