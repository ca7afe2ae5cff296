// Light or dark. A plain script in the head, so that the page is never painted in the wrong colours first.
"use strict";
(() => {
    const KEY = "music-insights-theme";
    const root = document.documentElement;
    const system = matchMedia("(prefers-color-scheme: dark)");

    const isDark = () => (root.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";

    // Storage may be forbidden; then the choice lasts as long as the page.
    const remember = (theme) => { try { localStorage.setItem(KEY, theme); } catch { /* lasts as long as the page */ } };
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
