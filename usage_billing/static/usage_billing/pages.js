// What the pages gain by JavaScript: a switch between dark and light, and a chart that tells its numbers at once.
(() => {
    const root = document.documentElement;
    const button = document.getElementById("theme");
    button.hidden = false;
    button.addEventListener("click", () => {
        const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
        root.dataset.theme = dark ? "light" : "dark";
        localStorage.setItem("_x_adminTheme", JSON.stringify(root.dataset.theme));
    });

    const chart = document.querySelector("svg.chart");
    if (!chart) {
        return;
    }
    const tip = document.createElement("div");
    tip.className = "tip";
    tip.hidden = true;
    tip.setAttribute("aria-hidden", "true");
    document.body.append(tip);
    const texts = new Map();
    for (const day of chart.querySelectorAll(".day")) {
        const title = day.querySelector("title");
        texts.set(day, title.textContent.trim());
        title.remove(); // the browser would show it a second time, later
    }
    chart.addEventListener("pointermove", (event) => {
        const day = event.target.closest(".day");
        tip.hidden = !day;
        if (day) {
            tip.textContent = texts.get(day);
            const left = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8);
            tip.style.left = `${Math.max(8, left) + scrollX}px`;
            tip.style.top = `${event.clientY + 18 + scrollY}px`;
        }
    });
    chart.addEventListener("pointerleave", () => {
        tip.hidden = true;
    });
})();
