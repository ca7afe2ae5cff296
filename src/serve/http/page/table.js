// Builds tables.

import { element } from "./dom.js";
import { exactShare, moment, number } from "./format.js";
import { listenerLink, songLink } from "./parts.js";
import { column as nameOf, reason } from "./words.js";

/**
 * A table. A column is `{ name, type, title, sort: { to, direction } }`. `to` is the address that sorts the
 * view by this column. `titles` maps song ids to titles. `cell` returns the content of a cell, or undefined
 * for the default content.
 */
export function table({ label, columns, rows, zone, titles = {}, cell = () => undefined }) {
    const body = rows.map((row) => element("tr", {}, columns.map((column) => {
        const content = cell(column.name, row) ?? defaultCell(column, row, zone, titles);
        return element("td", { class: alignment(column) }, content);
    })));
    const head = element("tr", {}, columns.map((column) => header(column, zone)));
    const inner = element("table", {}, element("thead", {}, head), element("tbody", {}, body));
    // Keyboard scrolling needs a focusable element.
    return element("div", { class: "scroll", role: "region", "aria-label": label, tabindex: 0 }, inner);
}

function header({ name, type, title = nameOf(name), sort }, zone) {
    const text = type === "time" && zone ? `${title} (${zone})` : title;
    if (!sort) return element("th", { scope: "col", class: alignment({ type }) }, text);
    const arrow = { ascending: "↑", descending: "↓" }[sort.direction] ?? "↕";
    const button = element("button", { type: "button", "data-to": sort.to, "data-column": name }, text, element("span", { class: "arrow", "aria-hidden": "true" }, arrow));
    return element("th", { scope: "col", class: alignment({ type }), "aria-sort": sort.direction ?? "none" }, button);
}

function alignment({ type }) {
    return type === "integer" || type === "number" ? "number" : null;
}

function defaultCell({ name, type }, row, zone, titles) {
    const value = row[name];
    if (value === null || value === undefined) return "";
    if (name === "user_id") return listenerLink(value);
    if (name === "song_id") return song(value, titles[value]);
    if (name === "reason") return element("span", { title: value }, reason(value));
    if (name === "loyalty_score") return exactShare(value);
    if (name === "raw") return element("code", {}, value);
    if (type === "time") return element("time", { datetime: value }, moment(value, zone));
    return alignment({ type }) ? number(Number(value)) : String(value);
}

/** Title and id of a song. The search in a table matches only the id, so the id must be visible. */
function song(id, title) {
    const link = songLink({ song_id: id, title });
    return title ? [link, " ", element("small", {}, id)] : link;
}
