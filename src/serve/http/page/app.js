// Where everything starts: the address chooses the view, and the server's events bring it up to date.

import "./actions.js";
import * as events from "./events.js";
import * as frame from "./frame.js";
import * as search from "./search.js";
import * as stage from "./stage.js";

/** Tables that change all the time are fetched this often at most. */
const REFRESH = 3_000;
/** Or up to so much later, so that those who look do not all ask and draw at the same moment. */
const SPREAD = 1_000;
/** Figures and lines of the last minutes are drawn anew this often at most. */
const REDRAW = 1_900;

let isDue = false;
let isResting = false;

/** Brings the view up to date: soon, not too often, and only if somebody sees it. */
async function refresh() {
    isDue = true;
    if (isResting || document.hidden) return;
    isResting = true;
    isDue = false;
    const rested = new Promise((resolve) => setTimeout(resolve, REFRESH + Math.random() * SPREAD));
    await stage.refresh();
    await rested;
    isResting = false;
    if (isDue) refresh();
}

let isConnected = true;
let state = null;
let drawnAt = -Infinity;

function listen() {
    events.listen({
        status(live) {
            // Until it was measured for the first time there is nothing to tell.
            if (live.state === null) return;
            frame.pulse(live);
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
    frame.arrived();
    stage.open();
});
document.addEventListener("visibilitychange", () => {
    if (isDue) refresh();
});
frame.arrived();
search.start();
stage.open();
listen();
