// A table that is too long to be loaded whole: the server searches, sorts and cuts it into pages.

import { element } from "./dom.js";
import { number } from "./format.js";
import { blank } from "./parts.js";
import { write } from "./route.js";
import { table } from "./table.js";

const PAGE = 50;
/** A search through all plays looks at a piece per request: so many pieces make a page at most. */
const MOST_PIECES = 5;
/** What a request hands on of a view's query. */
const HANDED_ON = ["search", "sort", "user_id", "song_id"];

/** From the address of a page to that of the one before it; cursors alone only lead forward. */
const before = new Map();

/** Loads the page that a query asks for. */
export async function load(segments, query, get) {
    const asked = Object.fromEntries(HANDED_ON.map((name) => [name, query.get(name)]));
    const page = await get(segments, { ...asked, limit: PAGE, cursor: query.get("cursor") });
    for (let piece = 1; page.next_cursor !== null && page.rows.length < PAGE && piece < MOST_PIECES; piece++) {
        const next = await get(segments, { ...asked, limit: PAGE - page.rows.length, cursor: page.next_cursor });
        page.rows.push(...next.rows);
        page.titles = { ...page.titles, ...next.titles };
        page.next_cursor = next.next_cursor;
    }
    return page;
}

/** The page, with what is around it. */
export function render(page, { path, query }, { label, zone, sortable = true, cell, empty = "Nothing here yet." }) {
    const to = (changes) => write(path, { ...Object.fromEntries(query), ...changes });
    const here = to({});
    const next = page.next_cursor === null ? null : to({ cursor: page.next_cursor });
    if (next && next !== here) before.set(next, here);
    const first = query.has("cursor") ? to({ cursor: null }) : null;

    const columns = page.columns.map((column) => ({ ...column, sort: sortable ? sorting(column, query.get("sort"), to) : null }));
    return element("div", { class: "listing" },
        element("div", { class: "tools" }, search(query), filters(query, to),
            element("div", { class: "pages" },
                element("p", { "data-said": "" }, extent(page, sortable)),
                element("div", { role: "group", "aria-label": "Pages" },
                    turn("First", first), turn("Previous", before.get(here) ?? null), turn("Next", next)))),
        page.rows.length > 0
            ? table({ label, columns, rows: page.rows, titles: page.titles, zone, cell })
            : blank(isNarrowed(query) ? "Nothing found" : page.message ?? empty, ...nothingFound(query, next)));
}

function sorting({ name, type }, sort, to) {
    const direction = { [name]: "ascending", [`-${name}`]: "descending" }[sort];
    // Of numbers the largest are asked for first.
    const begins = type === "text" ? name : `-${name}`;
    const turned = direction === "ascending" ? `-${name}` : name;
    return { direction, to: to({ sort: direction ? turned : begins, cursor: null }) };
}

function search(query) {
    return element("label", { class: "find" }, element("span", { class: "unseen" }, "Find in this table"),
        element("input", { type: "search", placeholder: "Find in this table", "data-query": "search", value: query.get("search") ?? "", autocomplete: "off", spellcheck: "false" }));
}

/** Ways out of what a table was narrowed down to by its address. */
function filters(query, to) {
    const names = { user_id: "listener", song_id: "song" };
    return Object.entries(names).filter(([name]) => query.has(name)).map(([name, title]) =>
        element("button", { type: "button", class: "chip", "data-to": to({ [name]: null, cursor: null }) }, `only ${title} ${query.get(name)} `, element("span", { "aria-hidden": "true" }, "✕"), element("span", { class: "unseen" }, "show all")));
}

/** A way to another page; one that leads nowhere stays where it is, so that the focus does. */
function turn(title, to) {
    return element("button", { type: "button", class: "turn", "data-to": to, "aria-disabled": to ? null : "true" }, title);
}

function isNarrowed(query) {
    return ["search", "user_id", "song_id"].some((name) => query.get(name));
}

function nothingFound(query, next) {
    if (!isNarrowed(query)) return [];
    return [next ? "Nothing among the rows that were looked through so far. “Next” looks further." : "No row holds what you look for."];
}

function extent({ rows, total, from }, isCounted) {
    if (rows.length === 0) return "No rows";
    // Where a search looks through a piece at a time, nobody knows how much it will find.
    if (total === null) return `${number(rows.length)} rows on this page`;
    if (!isCounted) return `${number(rows.length)} of ${number(total)} rows, latest arrivals first`;
    return `${number(from + 1)}–${number(from + rows.length)} of ${number(total)} rows`;
}
