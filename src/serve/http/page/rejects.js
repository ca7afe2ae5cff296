// All rejected rows.

import * as listing from "./listing.js";
import { heading } from "./parts.js";

export const title = () => "Rejected rows";

export function load({ query }, get) {
    return listing.load(["rejects"], query, get);
}

export function render(page, { route }) {
    return [
        heading("Rejected rows", "Rejected rows of the logs and the catalog with their positions and reasons, newest rows first."),
        listing.render(page, route, { label: "Rejected rows", sortable: false, empty: "No rejected rows" }),
    ];
}
