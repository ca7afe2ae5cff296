// The frame around every view: navigation, throughput, and the state of the connection.

import { element, morph } from "./dom.js";
import { bytes, roughly } from "./format.js";
import { read, write } from "./route.js";
import { insightTitle } from "./words.js";

const byId = (id) => document.getElementById(id);
const menu = byId("menu");

let insights = [];

/** Updates the navigation after the address has changed. */
export function updateNavigation() {
    showNavigation();
    openMenu(false);
}

/** Lists the published insights in the navigation. The argument is the list of insights in the status. */
export function listInsights(published) {
    insights = published;
    showNavigation();
}

function showNavigation() {
    const path = read(location.hash)?.path ?? [];
    const current = write(path);
    const link = (to, title) => element("li", {}, element("a", { href: to, "aria-current": to === current ? "page" : null }, title));
    const isOfPeriod = write([]).includes("?");
    const list = element("div", {},
        element("ul", {}, link(write([]), "Overview")),
        element("h2", {}, "Insights"),
        element("ul", {}, insights.map((insight) => link(write(["insights", insight.name]), insightTitle(insight, isOfPeriod)))),
        element("h2", {}, "Sources"),
        element("ul", {}, link(write(["inputs"]), "Inputs"), link(write(["rejects"]), "Rejected rows")));
    morph(byId("nav"), list);
}

/** Shows the throughput in the header. */
export function throughput({ state, rows_per_second: speed, bytes_unread: unread }) {
    const text = state === "waiting_for_room" ? "waiting for disk space"
        : state === "starting" ? "starting"
        : unread > 0 || speed > 0 ? `${roughly(speed)} rows/s` : "up to date";
    const title = unread > 0 ? `${bytes(unread)} left to read` : "all input has been read";
    morph(byId("throughput"), element("div", {}, element("span", { class: "dot", "data-state": state }), element("span", { title }, text)));
}

/** Shows or hides the message about a lost connection. */
export function connected(isConnected) {
    byId("banner").textContent = isConnected ? "" : "Connection lost; reconnecting. The data shown may be out of date.";
    document.documentElement.classList.toggle("offline", !isConnected);
}

function openMenu(isOpen) {
    menu.setAttribute("aria-expanded", isOpen);
    byId("nav").classList.toggle("open", isOpen);
}

menu.addEventListener("click", () => openMenu(menu.getAttribute("aria-expanded") !== "true"));
