// Handles clicks and input. The event handlers are on the document, because the nodes of a view are
// replaced often.

import { open } from "./api.js";
import { element } from "./dom.js";
import { go, read, write } from "./route.js";
import * as token from "./token.js";

/** Time from the last keystroke to the start of the search, in milliseconds. */
const TYPING = 250;

let typing;

document.addEventListener("click", (event) => {
    const skip = event.target.closest("[data-skip]");
    if (skip) {
        // Following the link would change the fragment, which is the address of the view.
        event.preventDefault();
        document.getElementById("main").focus();
    }
    const button = event.target.closest("[data-to]");
    if (button) go(button.dataset.to);
    const download = event.target.closest("[data-download]");
    if (download && token.isGiven()) {
        event.preventDefault();
        save(download);
    }
});

document.addEventListener("change", ({ target }) => {
    if (!("period" in target.dataset)) return;
    const { path, query } = read(location.hash);
    go(write(path, { ...Object.fromEntries(query), cursor: null, period: target.value }));
});

document.addEventListener("input", ({ target }) => {
    const { query: name } = target.dataset;
    if (!name) return;
    clearTimeout(typing);
    const origin = location.hash;
    typing = setTimeout(() => {
        // Drop the search if the reader has opened a different view meanwhile.
        if (location.hash !== origin) return;
        const { path, query } = read(origin);
        go(write(path, { ...Object.fromEntries(query), [name]: target.value, cursor: null }), { replace: true });
    }, TYPING);
});

/** Downloads a file with the token. A link cannot send the token, so the file is fetched into memory first. */
async function save(link) {
    const response = await open(link.href);
    const address = URL.createObjectURL(await response.blob());
    element("a", { href: address, download: link.download }).click();
    URL.revokeObjectURL(address);
}
