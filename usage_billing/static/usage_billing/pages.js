// What the pages gain by JavaScript: dark or light, tooltips, sheets over the page, and menus that close. Every page works without.
(() => {
    const root = document.documentElement;
    const theme = document.getElementById("theme");
    if (theme) {
        theme.hidden = false;
        theme.addEventListener("click", () => {
            const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
            root.dataset.theme = dark ? "light" : "dark";
            localStorage.setItem("adminTheme", JSON.stringify(root.dataset.theme));
        });
    }

    // A menu closes when something else is clicked, and with Escape.
    const close = (except) => {
        for (const menu of document.querySelectorAll("details.popover[open]")) {
            if (!menu.contains(except)) {
                menu.open = false;
            }
        }
    };
    document.addEventListener("click", (event) => close(event.target));
    document.addEventListener("keydown", (event) => {
        if (event.key === "Escape") {
            const menu = document.activeElement.closest("details.popover[open]");
            close(null);
            menu?.querySelector("summary").focus();
        }
    });
    // A menu near the edge opens to the other side.
    for (const menu of document.querySelectorAll("details.popover")) {
        menu.addEventListener("toggle", () => {
            menu.classList.remove("flipped");
            const body = menu.querySelector(".popover-body");
            menu.classList.toggle("flipped", menu.open && body.getBoundingClientRect().right > document.documentElement.clientWidth);
        });
    }

    // ── Charts: a tooltip at once, and a click on a part leads to its calls alone ────────────────────────────────
    const tip = document.createElement("div");
    tip.className = "tip";
    tip.hidden = true;
    tip.setAttribute("aria-hidden", "true");
    document.body.append(tip);
    for (const chart of document.querySelectorAll(".chart")) {
        const texts = new Map();
        for (const step of chart.querySelectorAll(".step")) {
            const title = step.querySelector("title");
            texts.set(step, title.textContent);
            title.remove(); // the browser would show it a second time, later
        }
        chart.addEventListener("pointermove", (event) => {
            const step = event.target.closest(".step");
            tip.hidden = !step;
            if (step) {
                tip.textContent = texts.get(step);
                const left = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8);
                tip.style.left = `${Math.max(8, left) + scrollX}px`;
                tip.style.top = `${event.clientY + 18 + scrollY}px`;
            }
        });
        chart.addEventListener("pointerleave", () => {
            tip.hidden = true;
        });
        chart.addEventListener("click", (event) => {
            const link = event.target.closest("a");
            const part = document.elementsFromPoint(event.clientX, event.clientY).find((each) => each.dataset?.narrowing);
            if (link && part && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
                event.preventDefault();
                const address = new URL(link.getAttribute("href"), location);
                const narrowing = [...new URLSearchParams(part.dataset.narrowing)];
                narrowing.forEach(([name]) => address.searchParams.delete(name));
                narrowing.forEach(([name, value]) => address.searchParams.append(name, value));
                location.assign(address);
            }
        });
    }

    // ── Sheets: the part of the linked page that `data-sheet` names, over this page ──────────────────────────────
    let isLoading = false;
    const read = async (address, selector) => {
        try {
            const answer = await fetch(address, { headers: { "X-Requested-With": "XMLHttpRequest" } });
            return answer.ok && new DOMParser().parseFromString(await answer.text(), "text/html").querySelector(selector);
        } catch {
            return null; // offline: the browser says so on the page itself
        }
    };
    const show = async (address, selector, opener) => {
        if (isLoading) {
            return;
        }
        isLoading = true;
        const found = await read(address, selector);
        isLoading = false;
        if (!found) {
            location.assign(address);
            return;
        }
        const sheet = document.createElement("dialog");
        sheet.className = selector === "#filters" ? "sheet wide" : "sheet";
        sheet.setAttribute("aria-label", found.dataset.title || found.querySelector("h1, h2")?.textContent || "");
        sheet.append(document.adoptNode(found));
        sheet.addEventListener("click", (event) => {
            if (event.target === sheet || event.target.closest("[data-close]")) {
                event.preventDefault();
                sheet.close();
            }
        });
        sheet.addEventListener("close", () => {
            sheet.remove();
            opener.focus();
        });
        document.body.append(sheet);
        sheet.showModal();
        sheet.scrollTop = 0;
    };
    document.addEventListener("click", (event) => {
        const link = event.target.closest("a[data-sheet]");
        if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey && event.button === 0) {
            event.preventDefault();
            show(link.href, link.dataset.sheet, link);
        }
    });
})();
