// What happens when something in a view is used. It is heard of at the document, because what is in
// a view is made anew all the time.

import { open } from "./api.js";
import { element } from "./dom.js";
import { go, read, write } from "./route.js";
import * as token from "./token.js";

/** So long after a key nothing more is typed, mostly. */
const TYPING = 250;

let typing;

document.addEventListener("click", (event) => {
    const skip = event.target.closest("[data-skip]");
    if (skip) {
        // Its address would be taken for that of a view.
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

document.addEventListener("input", ({ target }) => {
    const { query: name } = target.dataset;
    if (!name) return;
    clearTimeout(typing);
    const asked = location.hash;
    typing = setTimeout(() => {
        // Whoever went elsewhere meanwhile is not brought back.
        if (location.hash !== asked) return;
        const { path, query } = read(asked);
        go(write(path, { ...Object.fromEntries(query), [name]: target.value, cursor: null }), { replace: true });
    }, TYPING);
});

/** A link cannot show a token, so what it leads to is fetched and saved from memory. */
async function save(link) {
    const response = await open(link.href);
    const address = URL.createObjectURL(await response.blob());
    element("a", { href: address, download: link.download }).click();
    URL.revokeObjectURL(address);
}
