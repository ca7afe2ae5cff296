// Loads and paints the current view. Repaints the view when its data changes.

import { Refused, get as request } from "./api.js";
import { element, morph } from "./dom.js";
import { listInsights } from "./frame.js";
import * as inputs from "./inputs.js";
import * as insight from "./insight.js";
import * as listener from "./listener.js";
import * as overview from "./overview.js";
import { blank } from "./parts.js";
import { chooser, find, label } from "./period.js";
import * as rejects from "./rejects.js";
import { hasPeriods, read } from "./route.js";
import * as song from "./song.js";
import * as token from "./token.js";

/** The views by the first segment of the address, each with the number of segments in its address. */
const VIEWS = {
    "": [overview, 0],
    insights: [insight, 2],
    users: [listener, 2],
    songs: [song, 2],
    inputs: [inputs, 1],
    rejects: [rejects, 1],
};

/** Time until “Loading …” is shown, in milliseconds. */
const LOADING_DELAY = 200;

/** The key of the token form. No address has this key. */
const TOKEN = "?token";

const main = document.getElementById("main");
const announcement = document.getElementById("announcement");

/** The current view. `key` is the path of the view. `data` is undefined until the data is loaded. */
let shown = null;
/** Data of the last `status` event. */
let latest = null;
let loading = new AbortController();

/** Shows the view of the current address. */
export async function open() {
    // The token form stays until it is submitted.
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
        paint([blank("No such view", element("p", {}, element("a", { href: "#/" }, "Back to the overview")))], "Not found");
        return;
    }
    const isOther = key !== before?.key;
    // Until the view is loaded, the choice of a period stays as it was.
    const { periods, status } = hasPeriods(route.path) && before || {};
    shown = { key, view, route, periods, status, isNew: isOther, hasFocus: isOther && before !== null };
    // If only the search, order or page changes, the old rows stay visible until the new rows are loaded.
    if (!isOther) shown = { ...before, route };
    const slow = setTimeout(() => isOther && paint([blank("Loading …")], "Loading"), LOADING_DELAY);
    main.setAttribute("aria-busy", "true");
    await load(slow);
    if (shown.route !== route) return;
    main.removeAttribute("aria-busy");
    if (!isOther) {
        announcement.textContent = [...main.querySelectorAll("[data-announce]")].map((each) => each.textContent).join(". ");
        if (route.query.get("cursor") !== before.route.query.get("cursor")) main.querySelector(".listing")?.scrollIntoView();
    }
}

/** Reloads the current view. */
export async function refresh() {
    if (shown?.view && !main.hasAttribute("aria-busy")) await load();
}

/** Takes the data of a `status` event. */
export function live(now) {
    latest = now;
    if (shown?.data !== undefined && shown.view.isLive && !document.hidden) render();
}

/** Shows the token form, and calls `goOn` after the reader submits the form. */
export function askForToken(goOn) {
    const field = element("input", { type: "password", id: "token", autocomplete: "current-password", required: "" });
    // Password managers need a user name.
    const user = element("input", { type: "text", autocomplete: "username", value: "music-insights", hidden: "" });
    const form = element("form", { class: "token" }, user, element("label", { for: "token" }, "Token"), field, element("button", { type: "submit", class: "button" }, "Open the dashboard"));
    form.addEventListener("submit", (event) => {
        event.preventDefault();
        token.keep(field.value);
        shown = null;
        goOn();
    });
    const wrong = token.isGiven() && element("p", { role: "alert" }, "Wrong token. Try again.");
    shown = { key: TOKEN };
    main.removeAttribute("aria-busy");
    main.replaceChildren(blank("Token required", "Enter the access token of this server. The operator of the server can give you the token. It is stored until you close this tab.", wrong || "", form));
    field.focus();
}

async function load(slow) {
    const { view, route } = shown;
    const { signal } = loading;
    const get = (segments, query) => request(segments, query, signal);
    try {
        const status = await get(["status"]);
        listInsights(status.insights ?? []);
        const asked = status.state === "starting" ? undefined : view.load(route, get);
        // An error of this request is handled below, after the choice of periods is known.
        asked?.catch(() => {});
        const periods = status.periods > 0 && hasPeriods(route.path) ? await get(["periods"]) : null;
        if (signal.aborted || shown.route !== route) return;
        Object.assign(shown, { status, periods });
        const data = await asked;
        if (signal.aborted || shown.route !== route) return;
        shown.data = data;
        if (data === undefined) starting();
        else render();
    } catch (error) {
        if (!signal.aborted) showError(error);
    } finally {
        clearTimeout(slow);
    }
}

function render() {
    const { view, route, data, status, periods } = shown;
    const { timezone: zone, night, week } = status;
    const chosen = find(periods, route.query.get("period"));
    const period = chosen && { ...chosen, label: label(chosen) };
    const title = [view.title(route, data, status), period?.label].filter(Boolean).join(", ");
    paint([view.render(data, { route, status, live: latest, zone, night, week, periods, period })].flat(), title);
}

function starting() {
    paint([blank("Starting", "The stored state is being loaded. The dashboard appears when the first tables are published.")], "Starting");
}

function showError(error) {
    if (!(error instanceof Refused)) {
        // Loaded data stays visible. The banner says that the data may be out of date.
        if (shown.data === undefined) paint([blank("No connection", "The server does not respond. Reconnecting automatically.")], "No connection");
        if (!(error instanceof TypeError)) console.error(error);
        return;
    }
    // The server refuses the subscription to events as well. The token form appears because of that refusal.
    if (error.status === 401) return;
    shown.data = undefined;
    const title = error.status === 404 ? "Not found" : "Error";
    paint([blank(title, `The server responded: ${error.message}.`, element("p", {}, element("a", { href: "#/" }, "Back to the overview")))], title);
}

function paint(nodes, title) {
    document.title = `${title} – music-insights`;
    const fresh = element("div", {}, element("div", { class: "view", "data-key": shown.key }, nodes));
    const { periods, route, status } = shown;
    if (periods) placeChooser(fresh.firstChild, chooser(periods, route, status.timezone));
    morph(main, fresh);
    const select = main.querySelector("[data-period]");
    // After a choice of the reader, the attribute `selected` alone has no effect.
    if (select) select.value = route.query.get("period") ?? "";
    if (shown.isNew) {
        shown.isNew = false;
        if (shown.hasFocus) {
            scrollTo(0, 0);
            (main.querySelector("h1") ?? main).focus({ preventScroll: true });
        }
    }
}

/** Puts the choice of a period beside the title, or above a view without a title. */
function placeChooser(view, choice) {
    const title = view.querySelector(".heading h1");
    if (title) title.after(choice);
    else view.prepend(element("div", { class: "heading" }, choice));
}
