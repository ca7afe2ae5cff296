// One of the seven insights as a table.

import { element } from "./dom.js";
import { week } from "./format.js";
import * as listing from "./listing.js";
import { heading } from "./parts.js";
import { INSIGHTS } from "./words.js";

export const title = ({ path }) => INSIGHTS[path[1]]?.title ?? path[1];

export function load({ path, query }, get) {
    return listing.load(["insights", path[1]], query, get);
}

export function render(page, context) {
    const { route, zone } = context;
    const name = route.path[1];
    const meaning = INSIGHTS[name]?.meaning({ ...context, week: context.week && week(context.week) });
    const download = (end, kind) => element("a", { class: "button", href: `/api/v1/insights/${encodeURIComponent(name)}.${end}`, download: `${name}.${end}`, "data-download": "" }, kind);
    return [
        heading(title(route), meaning,
            element("p", { class: "downloads" }, element("code", {}, name), download("csv", "Download CSV"), download("parquet", "Download Parquet"))),
        listing.render(page, route, {
            label: title(route),
            zone,
            // There may be too many plays to sort them.
            sortable: name !== "enriched_logs",
            empty: EMPTY[name] ?? "No rows yet",
        }),
    ];
}

const EMPTY = {
    genre_loyalty_scores: "No loyal listeners",
    happy_recommendations: "No recommendations: no listener plays sad songs, or they have heard all happy songs",
    night_owl_users: "No plays at night",
};
