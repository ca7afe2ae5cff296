// Shows a table page by page. The server searches and sorts the rows, and splits them into pages.

import { element } from "./dom.js";
import { number } from "./format.js";
import { blank } from "./parts.js";
import { write } from "./route.js";
import { table } from "./table.js";

const PAGE = 50;
/**
 * Maximum number of requests for one page. A page may need several requests, because each filtered request
 * scans only a limited part of the table.
 */
const MAX_REQUESTS = 5;
/** Parameters that are passed from the address to the request. */
const PASSED_ON = ["search", "sort", "user_id", "song_id", "period"];

/** Maps the address of a page to the address of the previous page. A cursor alone leads only forward. */
const previous = new Map();

/** Loads the page that a query asks for. */
export async function load(segments, query, get) {
    const params = Object.fromEntries(PASSED_ON.map((name) => [name, query.get(name)]));
    const page = await get(segments, { ...params, limit: PAGE, cursor: query.get("cursor") });
    for (let request = 1; page.next_cursor !== null && page.rows.length < PAGE && request < MAX_REQUESTS; request++) {
        const next = await get(segments, { ...params, limit: PAGE - page.rows.length, cursor: page.next_cursor });
        page.rows.push(...next.rows);
        page.titles = { ...page.titles, ...next.titles };
        page.next_cursor = next.next_cursor;
    }
    return page;
}

/** The page with its search field, filters and buttons. */
export function render(page, { path, query }, { label, zone, sortable = true, cell, empty = "No rows yet" }) {
    const to = (changes) => write(path, { ...Object.fromEntries(query), ...changes });
    const here = to({});
    const next = page.next_cursor === null ? null : to({ cursor: page.next_cursor });
    if (next && next !== here) previous.set(next, here);
    const first = query.has("cursor") ? to({ cursor: null }) : null;

    const columns = page.columns.map((column) => ({ ...column, sort: sortable && !column.isFixed ? sorting(column, query.get("sort"), to) : null }));
    return element("div", { class: "listing" },
        element("div", { class: "tools" }, search(query), filters(query, to),
            element("div", { class: "pages" },
                element("p", { "data-announce": "" }, extent(page, sortable)),
                element("div", { role: "group", "aria-label": "Pages" },
                    turn("First", first), turn("Previous", previous.get(here) ?? null), turn("Next", next)))),
        page.rows.length > 0
            ? table({ label, columns, rows: page.rows, titles: page.titles, zone, cell })
            : blank(isFiltered(query) ? "Nothing found" : page.message ?? empty, ...nothingFound(query, next)));
}

function sorting({ name, type }, sort, to) {
    const direction = { [name]: "ascending", [`-${name}`]: "descending" }[sort];
    // The first click sorts text in ascending order, and numbers and times in descending order.
    const first = type === "text" ? name : `-${name}`;
    const reversed = direction === "ascending" ? `-${name}` : name;
    return { direction, to: to({ sort: direction ? reversed : first, cursor: null }) };
}

function search(query) {
    return element("label", { class: "find" }, element("span", { class: "visually-hidden" }, "Search this table"),
        element("input", { type: "search", placeholder: "Search this table", "data-query": "search", value: query.get("search") ?? "", autocomplete: "off", spellcheck: "false" }));
}

/** Buttons that remove the filters of the address. */
function filters(query, to) {
    const names = { user_id: "listener", song_id: "song" };
    return Object.entries(names).filter(([name]) => query.has(name)).map(([name, title]) =>
        element("button", { type: "button", class: "chip", "data-to": to({ [name]: null, cursor: null }) }, `only ${title} ${query.get(name)} `, element("span", { "aria-hidden": "true" }, "✕"), element("span", { class: "visually-hidden" }, "show all")));
}

/** A button to a different page. If there is no such page, the button is disabled but not removed, so that it keeps the focus. */
function turn(title, to) {
    return element("button", { type: "button", class: "turn", "data-to": to, "aria-disabled": to ? null : "true" }, title);
}

function isFiltered(query) {
    return ["search", "user_id", "song_id"].some((name) => query.get(name));
}

function nothingFound(query, next) {
    if (!isFiltered(query)) return [];
    return [next ? "No match in the rows searched so far. “Next” continues the search." : "No rows match."];
}

function extent({ rows, total, from }, isCounted) {
    if (rows.length === 0) return "No rows";
    // A filtered table that is scanned in parts has no known total.
    if (total === null) return `${number(rows.length)} rows on this page`;
    if (!isCounted) return `${number(rows.length)} of ${number(total)} rows, newest first`;
    return `${number(from + 1)}–${number(from + rows.length)} of ${number(total)} rows`;
}
