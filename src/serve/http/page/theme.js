// Selects the light or the dark theme. This classic script runs in the head, so that the browser never
// paints the wrong theme first.
"use strict";
(() => {
    const KEY = "music-insights-theme";
    const root = document.documentElement;
    const system = matchMedia("(prefers-color-scheme: dark)");

    const isDark = () => (root.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";

    // Storage may be blocked. In that case, the choice lasts until the tab is reloaded.
    const remember = (theme) => { try { localStorage.setItem(KEY, theme); } catch { /* not stored */ } };
    const remembered = () => { try { return localStorage.getItem(KEY); } catch { return null; } };

    if (["light", "dark"].includes(remembered())) root.dataset.theme = remembered();

    document.addEventListener("DOMContentLoaded", () => {
        const button = document.getElementById("theme");
        const label = () => {
            button.textContent = isDark() ? "Light" : "Dark";
            button.setAttribute("aria-label", `Switch to ${isDark() ? "light" : "dark"} colours`);
        };
        button.addEventListener("click", () => {
            root.dataset.theme = isDark() ? "light" : "dark";
            remember(root.dataset.theme);
            label();
        });
        system.addEventListener("change", label);
        label();
    });
})();
