// What the server says by itself, read from a stream that is opened again whenever it breaks. By
// `fetch`, because an `EventSource` cannot show a token.

import { Refused, open, path } from "./api.js";

/** The server speaks every second: after so long a silence the connection is dead, whatever TCP thinks. */
const SILENCE = 10_000;
const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 8_000;

/**
 * Listens for ever. `on.status` and `on.epoch` get what was said, `on.connected` whether there is a
 * connection, and `on.refused` why the server does not talk to us; then it is over.
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
        await rest(pause);
    }
}

async function readStream(say) {
    const silence = new AbortController();
    let timer;
    const heard = () => {
        clearTimeout(timer);
        timer = setTimeout(() => silence.abort(), SILENCE);
    };
    try {
        heard();
        const response = await open(path(["events"]), silence.signal);
        const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
        let text = "";
        for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
            heard();
            const events = (text + piece.value).split("\n\n");
            text = events.pop();
            events.map(parse).filter(Boolean).forEach(({ name, data }) => say(name, data));
        }
    } finally {
        clearTimeout(timer);
    }
}

/** One event; nothing if it is only a comment that keeps the connection alive. */
function parse(text) {
    const fields = text.split("\n").map((line) => line.match(/^(\w+): ?(.*)$/)).filter(Boolean);
    const values = (name) => fields.filter((field) => field[1] === name).map((field) => field[2]);
    const data = values("data").join("\n");
    return data && { name: values("event")[0] ?? "message", data: JSON.parse(data) };
}

/** Waits; less if the network comes back, or somebody looks at the page again. */
function rest(milliseconds) {
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
