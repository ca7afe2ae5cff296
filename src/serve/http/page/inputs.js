// What is read, and what could not be.

import { element } from "./dom.js";
import { ago, bytes, count, number } from "./format.js";
import { bar, blank, card, figures, heading, more, troubles } from "./parts.js";
import { write } from "./route.js";
import { table } from "./table.js";
import { reason } from "./words.js";

export const title = () => "Inputs";
export const isLive = true;

/** All of it is in the status, which every view has. */
export async function load() {
    return null;
}

export function render(data, { status, live }) {
    const { totals, catalog } = status;
    const { rejected, unmatched, bytes_unread: unread } = { bytes_unread: status.bytes_unread, ...totals, ...live };
    return [
        heading("Inputs", "The logs and the catalog: how far they have been read, and what could not be used."),
        troubles(status),
        figures(
            ["Logs", number(totals.inputs), `${number(status.inputs_unfinished)} not read to the end`],
            ["Read", bytes(totals.bytes), count(totals.rows, "row")],
            ["Still to read", bytes(unread), unread > 0 ? "read as fast as possible" : "nothing"],
            ["Rejected rows", number(rejected), "kept, each with its reason", write(["rejects"])],
            ["Unmatched plays", number(unmatched), "they wait for their song to be in the catalog"]),
        element("div", { class: "cards pair" },
            card("Rejected rows", "A bad row never stops the others; it is kept with its place and its reason.", {}, rejects(status)),
            card("Catalog", "The songs that are known. It may change at any time; everything is counted again with it.", {}, catalogFigures(catalog)),
            card("Logs", "Those that are not read to their end, and those that were read last.", { wide: true }, logs(status))),
    ];
}

function logs({ inputs }) {
    if (inputs.length === 0) return blank("No logs yet", "Drop a CSV log into data/incoming.");
    const columns = [
        { name: "path", type: "text", title: "Log" },
        { name: "progress", type: "text", title: "Read" },
        { name: "unread", type: "number", title: "Still to read" },
        ...["rows", "rejected", "unmatched"].map((name) => ({ name, type: "integer" })),
    ];
    const cells = {
        unread: ({ bytes: read, size }) => bytes(Math.max(0, size - read)),
        progress: ({ bytes: read, size, finished }) => finished ? `all of ${bytes(size)}`
            : element("span", { class: "progress" }, bar(size ? read / size : 1), `${bytes(read)} of ${bytes(size)}`),
    };
    return table({ label: "Logs", columns, rows: inputs, cell: (name, row) => cells[name]?.(row) });
}

function rejects({ rejects }) {
    if (rejects.length === 0) return element("p", {}, "None: every row so far could be read.");
    const row = ({ reason: code, rows, examples }) => element("li", {},
        element("p", {}, element("strong", {}, count(rows, "row")), `: ${reason(code)} `, element("code", {}, code)),
        examples.length > 0 && more(examples.length === 1 ? "An example" : `${examples.length} examples`, examples.map(({ file, line, raw }) =>
            element("figure", {}, element("pre", {}, raw), element("figcaption", {}, `${file}, line ${number(line)}`)))));
    return [
        element("ul", { class: "reasons" }, rejects.map(row)),
        element("p", {}, element("a", { href: write(["rejects"]) }, "All rejected rows")),
    ];
}

function catalogFigures({ path, songs, rejected, fingerprint, age_seconds: age }) {
    return [
        figures(
            ["Songs", number(songs)],
            ["Loaded", ago(age), "it is loaded again when it changes"],
            ["Rejected rows", number(rejected)]),
        element("p", {}, element("code", {}, path)),
        more("Fingerprint", element("p", {}, element("code", {}, fingerprint))),
    ];
}
