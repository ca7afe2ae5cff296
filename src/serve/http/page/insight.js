// An insight as a table.

import { element } from "./dom.js";
import * as listing from "./listing.js";
import { path as address } from "./api.js";
import { heading } from "./parts.js";
import { find, label, move } from "./period.js";
import { insightTitle } from "./words.js";

/** The entry of an insight in the status; undefined if the insight is not published. */
const about = ({ path }, status) => status?.insights?.find(({ name }) => name === path[1]);

export const title = (route, _, status) => {
    const insight = about(route, status);
    return insight ? insightTitle(insight, route.query.has("period")) : route.path[1];
};

const TOP_SONGS = "top_songs_this_week";
/** The column with the place in the period before. */
const MOVE = "move";

function meaningInPeriod(name, meaning, { label: text }) {
    return name === TOP_SONGS ? `The most played songs of ${text}.` : `${meaning} Only plays of ${text} count.`;
}

/** The page with a column that compares top songs with the period before. */
function withMoves(page, { periods }) {
    if (!page.places) return page;
    const before = find(periods, page.before);
    const title = `Compared with ${before ? label(before) : page.before}`;
    return { ...page, columns: [...page.columns, { name: MOVE, type: "text", title, isFixed: true }] };
}

function moveOf({ song_id: song }, places) {
    const { now, before } = places[song] ?? {};
    return now ? move(now, before) : "";
}

export function load({ path, query }, get) {
    return listing.load(["insights", path[1]], query, get);
}

export function render(page, context) {
    const { route, status, zone, period } = context;
    const name = route.path[1];
    const { kind, meaning, empty } = about(route, status) ?? {};
    const table = period && name === TOP_SONGS ? "top_songs" : name;
    const file = period ? `${table}-${period.period}` : name;
    const download = (end, kind) => element("a", { class: "button", href: address(["insights", `${name}.${end}`], { period: period?.period }), download: `${file}.${end}`, "data-download": "" }, kind);
    return [
        heading(title(route, page, status), period ? meaningInPeriod(name, meaning, period) : meaning,
            element("p", { class: "downloads" }, element("code", {}, table), download("csv", "Download CSV"), download("parquet", "Download Parquet"))),
        listing.render(withMoves(page, context), route, {
            cell: (column, row) => column === MOVE ? moveOf(row, page.places) : undefined,
            label: title(route, page, status),
            zone,
            // An append-only table may be too long to sort.
            sortable: kind !== "append_only",
            empty,
        }),
    ];
}
