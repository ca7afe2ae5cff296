// Entry point. The address selects the view, and server-sent events keep the view up to date.

import "./actions.js";
import * as events from "./events.js";
import * as frame from "./frame.js";
import { follow } from "./route.js";
import * as search from "./search.js";
import * as stage from "./stage.js";

/** Minimum time between two refreshes of the data, in milliseconds. */
const REFRESH = 3_000;
/** Maximum random delay that is added to `REFRESH`. The delay keeps browsers from sending requests at the same moment. */
const JITTER = 1_000;
/** Minimum time between two updates of live figures and charts, in milliseconds. */
const REDRAW = 1_900;

let isDue = false;
let isRefreshing = false;

/** Refreshes the view, at most once per interval and only while the tab is visible. */
async function refresh() {
    isDue = true;
    if (isRefreshing || document.hidden) return;
    isRefreshing = true;
    isDue = false;
    const pause = new Promise((resolve) => setTimeout(resolve, REFRESH + Math.random() * JITTER));
    await stage.refresh();
    await pause;
    isRefreshing = false;
    if (isDue) refresh();
}

let isConnected = true;
let state = null;
let drawnAt = -Infinity;

function listen() {
    events.listen({
        status(live) {
            // A server sends its first events before its first measurement.
            if (live.state === null) return;
            frame.throughput(live);
            if (state !== live.state) refresh();
            else if (performance.now() - drawnAt < REDRAW) return;
            drawnAt = performance.now();
            stage.live(live);
            ({ state } = live);
        },
        epoch: refresh,
        connected(now) {
            if (now === isConnected) return;
            isConnected = now;
            frame.connected(now);
            if (now) refresh();
        },
        refused() {
            stage.askForToken(() => {
                listen();
                stage.open();
            });
        },
    });
}

addEventListener("hashchange", () => {
    follow(location.hash);
    frame.updateNavigation();
    stage.open();
});
document.addEventListener("visibilitychange", () => {
    if (isDue) refresh();
});
follow(location.hash);
frame.updateNavigation();
search.start();
stage.open();
listen();
