// Parts that several views use.

import { drawing, element, shape } from "./dom.js";
import { count, number } from "./format.js";
import { write } from "./route.js";

/** Values up to this length are treated as numbers. Numbers must not wrap. */
const MAX_NUMBER_LENGTH = 16;

/** The title of a view and its description. */
export function heading(title, meaning, ...more) {
    return element("header", { class: "heading" }, element("h1", { tabindex: -1 }, title), meaning && element("p", { class: "lead" }, meaning), more);
}

/** Warnings about the inputs. */
export function warnings({ inputs_refused: refused, inputs_rewritten: rewritten, inputs_not_retired: kept, incomplete_since: lost, preparation, catalog }) {
    const texts = [
        kept > 0 && "Finished logs cannot be archived or deleted. The program tries again, and its messages name the logs.",
        refused > 0 && `${count(refused, "file")} in the folder cannot be read as a log. The view “Inputs” shows the reasons.`,
        rewritten > 0 && "A log was changed in a part that had already been read. The rest of this log is not read until the file is replaced. The messages of the program name the log.",
        lost && `Published rows of enriched_logs or _rejects were lost. Their rows from before ${lost} are missing. All other tables are complete.`,
        preparation && `The tables of periods are being prepared for a new catalog: ${number(preparation.done)} of ${number(preparation.total)} are done. Until then, all tables show the previous catalog.`,
        catalog?.broken && "The catalog file is invalid, so the last valid version stays in use. The messages of the program describe the error.",
    ];
    return texts.filter(Boolean).map((text) => element("p", { class: "notice" }, text));
}

/** A section of a view with its own title. */
export function card(title, meaning, { wide = false, link = null } = {}, ...content) {
    const head = element("h2", {}, link ? element("a", { href: link }, title) : title);
    return element("section", { class: wide ? "card wide" : "card" }, head, meaning && element("p", { class: "meaning" }, meaning), content);
}

/** Figures, given as `[name, value, remark, address]`. */
export function figures(...entries) {
    const figure = ([name, value, remark, link]) => element("div", { class: "figure" },
        element("dt", {}, name),
        element("dd", {},
            element(link ? "a" : "span", { href: link || null, class: value.length > MAX_NUMBER_LENGTH ? null : "whole" }, value),
            remark && element("small", {}, remark)));
    return element("dl", { class: "figures" }, entries.filter(Boolean).map(figure));
}

/** A chart drawn by the server, or the reason why it is missing. */
export function chart(text, reason = "no data yet") {
    return element("div", { class: "drawing" }, drawing(text) ?? element("p", { class: "meaning" }, `Not available: ${reason}.`));
}

/** A bar that shows a share from 0 to 1. */
export function bar(part, label = null) {
    const width = `${(100 * Math.min(1, Math.max(0, part || 0))).toFixed(2)}%`;
    const named = label ? { role: "img", "aria-label": label } : { "aria-hidden": "true" };
    return shape("svg", { class: "bar", ...named }, shape("rect", { class: "bar-all", width: "100%", height: "100%", rx: 3 }), shape("rect", { class: "bar-part", width, height: "100%", rx: 3 }));
}

/** A message in place of missing content. */
export function blank(title, ...sentences) {
    return element("div", { class: "blank" }, element("h2", {}, title), sentences.map((sentence) => typeof sentence === "string" ? element("p", {}, sentence) : sentence));
}

/** Details that are initially closed. */
export function more(summary, ...content) {
    return element("details", { class: "more" }, element("summary", {}, summary), content);
}

/** A link to a listener. */
export function listenerLink(id) {
    return element("a", { href: write(["users", id]) }, id);
}

/** A link to a song. Its text is the title, or the id if the title is unknown. */
export function songLink(song) {
    return element("a", { href: write(["songs", song.song_id]) }, song.title || song.song_id);
}
