// What is around every view: where one can go, and whether the server talks to us.

import { element, morph } from "./dom.js";
import { bytes, roughly } from "./format.js";
import { read, write } from "./route.js";
import { INSIGHTS } from "./words.js";

const byId = (id) => document.getElementById(id);
const menu = byId("menu");

/** Marks the page that the address names. */
export function arrived() {
    const path = read(location.hash)?.path ?? [];
    const here = write(path);
    const link = (to, title) => element("li", {}, element("a", { href: to, "aria-current": to === here ? "page" : null }, title));
    const insights = Object.entries(INSIGHTS).map(([name, { title }]) => link(write(["insights", name]), title));
    const list = element("div", {},
        element("ul", {}, link(write([]), "Overview")),
        element("h2", {}, "Insights"),
        element("ul", {}, insights),
        element("h2", {}, "Sources"),
        element("ul", {}, link(write(["inputs"]), "Inputs"), link(write(["rejects"]), "Rejected rows")));
    morph(byId("nav"), list);
    openMenu(false);
}

/** Says in the head of the page how fast rows come in. */
export function pulse({ state, rows_per_second: speed, bytes_unread: unread }) {
    const text = state === "waiting_for_room" ? "waiting for room"
        : state === "starting" ? "starting"
        : unread > 0 || speed > 0 ? `${roughly(speed)} rows/s` : "up to date";
    const title = unread > 0 ? `${bytes(unread)} still to be read` : "everything has been read";
    morph(byId("pulse"), element("div", {}, element("span", { class: "dot", "data-state": state }), element("span", { title }, text)));
}

/** Says so if the connection is lost. */
export function connected(isConnected) {
    byId("banner").textContent = isConnected ? "" : "Connection lost, trying again. What is shown is as it was before.";
    document.documentElement.classList.toggle("offline", !isConnected);
}

function openMenu(isOpen) {
    menu.setAttribute("aria-expanded", isOpen);
    byId("nav").classList.toggle("open", isOpen);
}

menu.addEventListener("click", () => openMenu(menu.getAttribute("aria-expanded") !== "true"));
