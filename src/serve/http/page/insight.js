// An insight as a table.

import { element } from "./dom.js";
import * as listing from "./listing.js";
import { heading } from "./parts.js";

/** The entry of an insight in the status; undefined if the insight is not published. */
const about = ({ path }, status) => status?.insights?.find(({ name }) => name === path[1]);

export const title = (route, _, status) => about(route, status)?.title ?? route.path[1];

export function load({ path, query }, get) {
    return listing.load(["insights", path[1]], query, get);
}

export function render(page, context) {
    const { route, status, zone } = context;
    const name = route.path[1];
    const { kind, meaning, empty } = about(route, status) ?? {};
    const download = (end, kind) => element("a", { class: "button", href: `/api/v1/insights/${encodeURIComponent(name)}.${end}`, download: `${name}.${end}`, "data-download": "" }, kind);
    return [
        heading(title(route, page, status), meaning,
            element("p", { class: "downloads" }, element("code", {}, name), download("csv", "Download CSV"), download("parquet", "Download Parquet"))),
        listing.render(page, route, {
            label: title(route, page, status),
            zone,
            // An append-only table may be too long to sort.
            sortable: kind !== "append_only",
            empty,
        }),
    ];
}
