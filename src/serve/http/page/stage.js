// The view that is shown: it is loaded, painted, and painted again when something has changed.

import { Refused, get as request } from "./api.js";
import { element, morph } from "./dom.js";
import * as inputs from "./inputs.js";
import * as insight from "./insight.js";
import * as listener from "./listener.js";
import * as overview from "./overview.js";
import { blank } from "./parts.js";
import * as rejects from "./rejects.js";
import { read } from "./route.js";
import * as song from "./song.js";
import * as token from "./token.js";

/** The views by the beginning of their address, with the number of its segments. */
const VIEWS = {
    "": [overview, 0],
    insights: [insight, 2],
    users: [listener, 2],
    songs: [song, 2],
    inputs: [inputs, 1],
    rejects: [rejects, 1],
};

/** Whoever waits for less than this need not be told. */
const PATIENCE = 200;

/** No address has this key. */
const TOKEN = "?token";

const main = document.getElementById("main");
const said = document.getElementById("said");

/** What is shown: `key` is its path; `data` is missing until it was loaded. */
let shown = null;
let events = null;
let loading = new AbortController();

/** Shows what the address says. */
export async function open() {
    // Whoever is asked for the token is shown the page when it is there.
    if (shown?.key === TOKEN) return;
    const route = read(location.hash);
    const [name = ""] = route?.path ?? [];
    const [view, length] = VIEWS[name] ?? [];
    const key = route?.path.join("/");
    const before = shown;
    loading.abort();
    loading = new AbortController();
    if (!view || route.path.length !== length) {
        shown = { key };
        paint([blank("There is no such page", element("p", {}, element("a", { href: "#/" }, "To the overview")))], "Not found");
        return;
    }
    const isOther = key !== before?.key;
    shown = { key, view, route, isNew: isOther, hasFocus: isOther && before !== null };
    // The same page with another search, order or part keeps what it shows until it has the new one.
    if (!isOther) shown = { ...before, route };
    const slow = setTimeout(() => isOther && paint([blank("Loading …")], "Loading"), PATIENCE);
    main.setAttribute("aria-busy", "true");
    await load(slow);
    if (shown.route !== route) return;
    main.removeAttribute("aria-busy");
    if (!isOther) {
        said.textContent = main.querySelector("[data-said]")?.textContent ?? "";
        if (route.query.get("cursor") !== before.route.query.get("cursor")) main.querySelector(".listing")?.scrollIntoView();
    }
}

/** Loads the same again. */
export async function refresh() {
    if (shown?.view && !main.hasAttribute("aria-busy")) await load();
}

/** Takes what the server says every second. */
export function live(now) {
    events = now;
    if (shown?.data !== undefined && shown.view.isLive && !document.hidden) render();
}

/** Asks for the token that the server wants, and goes on when it is there. */
export function askForToken(goOn) {
    const field = element("input", { type: "password", id: "token", autocomplete: "current-password", required: "" });
    // Password managers want to know whose it is.
    const user = element("input", { type: "text", autocomplete: "username", value: "music-insights", hidden: "" });
    const form = element("form", { class: "token" }, user, element("label", { for: "token" }, "Token"), field, element("button", { type: "submit", class: "button" }, "Show the insights"));
    form.addEventListener("submit", (event) => {
        event.preventDefault();
        token.keep(field.value);
        shown = null;
        goOn();
    });
    const wrong = token.isGiven() && element("p", { role: "alert" }, "This token is not the right one.");
    shown = { key: TOKEN };
    main.removeAttribute("aria-busy");
    main.replaceChildren(blank("A token is needed", "This server is not for everybody. Its operator has set a token; it is kept until this tab is closed.", wrong || "", form));
    field.focus();
}

async function load(slow) {
    const { view, route } = shown;
    const { signal } = loading;
    const get = (segments, query) => request(segments, query, signal);
    try {
        const status = await get(["status"]);
        const data = status.state === "starting" ? undefined : await view.load(route, get);
        if (signal.aborted || shown.route !== route) return;
        Object.assign(shown, { status, data });
        if (data === undefined) starting();
        else render();
    } catch (error) {
        if (!signal.aborted) refused(error);
    } finally {
        clearTimeout(slow);
    }
}

function render() {
    const { view, route, data, status } = shown;
    const { timezone: zone, night, week } = status;
    paint([view.render(data, { route, status, live: events, zone, night, week })].flat(), view.title(route, data));
}

function starting() {
    paint([blank("Starting", "What was counted before is put together, and the first tables are on their way. This page shows them as soon as they are there.")], "Starting");
}

function refused(error) {
    if (!(error instanceof Refused)) {
        // What was loaded before stays; the banner says that it is not new.
        if (shown.data === undefined) paint([blank("The server does not answer", "It is tried again until it does.")], "No connection");
        if (!(error instanceof TypeError)) console.error(error);
        return;
    }
    // Whoever listens to the events is told as well, and asks for the token.
    if (error.status === 401) return;
    shown.data = undefined;
    const title = error.status === 404 ? "Not found" : "That did not work";
    paint([blank(title, `The server says: ${error.message}.`, element("p", {}, element("a", { href: "#/" }, "To the overview")))], title);
}

function paint(nodes, title) {
    document.title = `${title} – music-insights`;
    const fresh = element("div", {}, element("div", { class: "view", "data-key": shown.key }, nodes));
    morph(main, fresh);
    if (shown.isNew) {
        shown.isNew = false;
        if (shown.hasFocus) {
            scrollTo(0, 0);
            (main.querySelector("h1") ?? main).focus({ preventScroll: true });
        }
    }
}
