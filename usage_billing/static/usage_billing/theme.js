// The theme that this browser chose, before anything is painted. The admin keeps its own under the same key.
(() => {
    const chosen = (localStorage.getItem("adminTheme") || "").replaceAll('"', "");
    if (chosen === "dark" || chosen === "light") {
        document.documentElement.dataset.theme = chosen;
    }
})();
