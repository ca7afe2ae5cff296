// Inputs: the logs and the catalog, with progress and rejects.

import { element } from "./dom.js";
import { ago, bytes, count, number } from "./format.js";
import { bar, blank, card, figures, heading, more, warnings } from "./parts.js";
import { write } from "./route.js";
import { table } from "./table.js";
import { reason } from "./words.js";

export const title = () => "Inputs";
export const isLive = true;

/** The view sends no request of its own, because every view gets the status. */
export async function load() {
    return null;
}

export function render(data, { status, live }) {
    const { totals, catalog } = status;
    const { rejected, unmatched, bytes_unread: unread } = { bytes_unread: status.bytes_unread, ...totals, ...live };
    return [
        heading("Inputs", "The logs and the catalog: reading progress, rejected rows and unmatched plays."),
        warnings(status),
        figures(
            ["Logs", number(totals.inputs), `${number(status.inputs_unfinished)} not read to the end`],
            ["Read", bytes(totals.bytes), count(totals.rows, "row")],
            ["Left to read", bytes(unread), unread > 0 ? "being read now" : "all input has been read"],
            ["Rejected rows", number(rejected), "each stored with its reason", write(["rejects"])],
            ["Unmatched plays", number(unmatched), "counted once the catalog has their songs"]),
        status.refused.length > 0 && card("Files that cannot be read as logs", "No row of these files is counted. After a repair, replace the file.", {}, refused(status)),
        element("div", { class: "cards pair" },
            card("Rejected rows", "A bad row does not affect other rows. It is stored with its position and reason.", {}, rejects(status)),
            card("Catalog", "The known songs. When the catalog file changes, all tables are updated, including past plays.", {}, catalogFigures(catalog)),
            card("Logs", "Unfinished logs come first, then the most recently read logs.", { wide: true }, logs(status))),
    ];
}

function logs({ inputs }) {
    if (inputs.length === 0) return blank("No logs yet", "Drop a CSV log into data/incoming.");
    const columns = [
        { name: "path", type: "text", title: "Log" },
        { name: "progress", type: "text", title: "Read" },
        { name: "unread", type: "number", title: "Left to read" },
        ...["rows", "rejected", "unmatched"].map((name) => ({ name, type: "integer" })),
    ];
    const cells = {
        unread: ({ bytes: read, size }) => bytes(Math.max(0, size - read)),
        progress: ({ bytes: read, size, finished }) => finished ? `all of ${bytes(size)}`
            : element("span", { class: "progress" }, bar(size ? read / size : 1), `${bytes(read)} of ${bytes(size)}`),
    };
    return table({ label: "Logs", columns, rows: inputs, cell: (name, row) => cells[name]?.(row) });
}

function refused({ refused, inputs_refused: all }) {
    const columns = ["path", "reason", "detail"].map((name) => ({ name, type: "text" }));
    columns[0].title = "File";
    columns[2].title = "Details";
    const cells = { reason: ({ reason: code }) => [reason(code), " ", element("code", {}, code)] };
    return [
        table({ label: "Files that cannot be read as logs", columns, rows: refused, cell: (name, row) => cells[name]?.(row) }),
        all > refused.length && element("p", { class: "meaning" }, `The latest ${number(refused.length)} of ${number(all)} files.`),
    ];
}

function rejects({ rejects }) {
    if (rejects.length === 0) return element("p", {}, "None. All rows so far are valid.");
    const row = ({ reason: code, rows, examples }) => element("li", {},
        element("p", {}, element("strong", {}, count(rows, "row")), `: ${reason(code)} `, element("code", {}, code)),
        examples.length > 0 && more(examples.length === 1 ? "1 example" : `${examples.length} examples`, examples.map(({ file, line, raw }) =>
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
            ["Loaded", ago(age), "reloaded when the file changes"],
            ["Rejected rows", number(rejected)]),
        element("p", {}, element("code", {}, path)),
        more("Fingerprint", element("p", {}, element("code", {}, fingerprint))),
    ];
}
