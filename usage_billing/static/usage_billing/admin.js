// The sidebar's switch between dark and light, in the admin's theme, which keeps its choice under the same key.
document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    if (button) {
        button.hidden = false;
        button.addEventListener("click", () => {
            const root = document.documentElement;
            const theme = root.classList.contains("dark") ? "light" : "dark";
            localStorage.setItem("adminTheme", JSON.stringify(theme));
            location.reload();
        });
    }
});
