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
            // All plays are too many to be put into another order.
            sortable: name !== "enriched_logs",
            empty: EMPTY[name] ?? "No rows yet",
        }),
    ];
}

const EMPTY = {
    genre_loyalty_scores: "No listener is that loyal",
    happy_recommendations: "No listener of sad songs, or no happy song that they have not heard",
    night_owl_users: "Nobody listens at night",
};
