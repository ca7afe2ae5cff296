// Server-sent events, with automatic reconnection. Uses `fetch`, because an `EventSource` cannot send a
// token.

import { Refused, open, path } from "./api.js";

/** The server sends an event every second. A connection without events for this many milliseconds is dead. */
const TIMEOUT = 10_000;
const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 8_000;

/**
 * Subscribes to events, and reconnects forever. Calls `on.status` and `on.epoch` with the data of an event,
 * and `on.connected` with true or false. If the server refuses the token, calls `on.refused` and ends.
 */
export async function listen(on) {
    for (let pause = FIRST_PAUSE; ; pause = Math.min(pause * 2, LONGEST_PAUSE)) {
        try {
            await readStream((name, data) => {
                pause = FIRST_PAUSE;
                on.connected(true);
                on[name]?.(data);
            });
        } catch (error) {
            if (error instanceof Refused && error.status === 401) return on.refused(error);
        }
        on.connected(false);
        await wait(pause);
    }
}

async function readStream(handle) {
    const abort = new AbortController();
    let timer;
    const restartTimer = () => {
        clearTimeout(timer);
        timer = setTimeout(() => abort.abort(), TIMEOUT);
    };
    try {
        restartTimer();
        const response = await open(path(["events"]), abort.signal);
        const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
        let text = "";
        for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
            restartTimer();
            const events = (text + piece.value).split("\n\n");
            text = events.pop();
            events.map(parse).filter(Boolean).forEach(({ name, data }) => handle(name, data));
        }
    } finally {
        clearTimeout(timer);
    }
}

/** Parses one event. Returns an empty string if the event has no data. */
function parse(text) {
    const fields = text.split("\n").map((line) => line.match(/^(\w+): ?(.*)$/)).filter(Boolean);
    const values = (name) => fields.filter((field) => field[1] === name).map((field) => field[2]);
    const data = values("data").join("\n");
    return data && { name: values("event")[0] ?? "message", data: JSON.parse(data) };
}

/** Waits. The wait ends early if the network comes back or the tab becomes visible. */
function wait(milliseconds) {
    return new Promise((resolve) => {
        const done = () => {
            clearTimeout(timer);
            removeEventListener("online", done);
            document.removeEventListener("visibilitychange", done);
            resolve();
        };
        const timer = setTimeout(done, milliseconds);
        addEventListener("online", done);
        document.addEventListener("visibilitychange", done);
    });
}
