// Pieces that several views are put together from.

import { drawing, element, shape } from "./dom.js";
import { write } from "./route.js";

/** Numbers are not longer, and never broken over lines. */
const LONGEST_NUMBER = 16;

/** The title of a view and, below it, what it shows. */
export function heading(title, meaning, ...more) {
    return element("header", { class: "heading" }, element("h1", { tabindex: -1 }, title), meaning && element("p", { class: "lead" }, meaning), more);
}

/** What is wrong with what comes in, if anything is. */
export function troubles({ inputs_rewritten: rewritten, catalog }) {
    const texts = [
        rewritten > 0 && "Bytes of a log that were read have been rewritten since the start; nothing more of that log is read until it is replaced. The messages of the program name it.",
        catalog?.broken && "The file of the catalog cannot be used as it is now; the last one that could stays in force. The messages of the program say why.",
    ];
    return texts.filter(Boolean).map((text) => element("p", { class: "notice" }, text));
}

/** A part of a view with a title of its own. */
export function card(title, meaning, { wide = false, link = null } = {}, ...content) {
    const head = element("h2", {}, link ? element("a", { href: link }, title) : title);
    return element("section", { class: wide ? "card wide" : "card" }, head, meaning && element("p", { class: "meaning" }, meaning), content);
}

/** Numbers with their names: `[name, value, remark, address]`. */
export function figures(...entries) {
    const figure = ([name, value, remark, link]) => element("div", { class: "figure" },
        element("dt", {}, name),
        element("dd", {},
            element(link ? "a" : "span", { href: link || null, class: value.length > LONGEST_NUMBER ? null : "whole" }, value),
            remark && element("small", {}, remark)));
    return element("dl", { class: "figures" }, entries.filter(Boolean).map(figure));
}

/** A drawing of the server; a sentence if there is none, or why. */
export function chart(text, absent = "there is nothing to draw yet") {
    return element("div", { class: "drawing" }, drawing(text) ?? element("p", { class: "meaning" }, `Not shown: ${absent}.`));
}

/** A share of one as a bar. */
export function bar(part, label = null) {
    const width = `${(100 * Math.min(1, Math.max(0, part || 0))).toFixed(2)}%`;
    const named = label ? { role: "img", "aria-label": label } : { "aria-hidden": "true" };
    return shape("svg", { class: "bar", ...named }, shape("rect", { class: "bar-all", width: "100%", height: "100%", rx: 3 }), shape("rect", { class: "bar-part", width, height: "100%", rx: 3 }));
}

/** What stands where nothing is. */
export function blank(title, ...sentences) {
    return element("div", { class: "blank" }, element("h2", {}, title), sentences.map((sentence) => typeof sentence === "string" ? element("p", {}, sentence) : sentence));
}

/** What is shown only if somebody wants it. */
export function more(summary, ...content) {
    return element("details", { class: "more" }, element("summary", {}, summary), content);
}

/** A link to a listener. */
export function listenerLink(id) {
    return element("a", { href: write(["users", id]) }, id);
}

/** A link to a song, by its title if it has one. */
export function songLink(song) {
    return element("a", { href: write(["songs", song.song_id]) }, song.title || song.song_id);
}
