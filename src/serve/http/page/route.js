// The address of a view, such as `#/insights/night_owl_users?search=a`. It determines everything that a
// view shows, so that links, reloading and the back button work.

/** The period that the reader has chosen last, such as `2025-03`; null for all time. Links keep this choice. */
let chosen = null;

/** Whether the view of a path can show a period. */
export function hasPeriods([name, of]) {
    return [undefined, "users", "songs"].includes(name) || name === "insights" && of !== "enriched_logs";
}

/** Takes the period of an address, so that links lead to the same period. */
export function follow(hash) {
    const route = read(hash);
    if (route && hasPeriods(route.path)) chosen = route.query.get("period");
}

/** Parses an address into `{ path, query }`: decoded segments and search parameters. Null if the address is malformed. */
export function read(hash) {
    const [path, query] = hash.replace(/^#?\/?/, "").split("?", 2);
    try {
        return { path: path.split("/").filter(Boolean).map(decodeURIComponent), query: new URLSearchParams(query) };
    } catch {
        return null;
    }
}

/** The address for a path and a query. Empty values are left out. Without a period, the query gets the chosen one. */
export function write(path, query = {}) {
    const whole = hasPeriods(path) ? { period: chosen, ...query } : query;
    const entries = Object.entries(whole).filter(([, value]) => value !== null && value !== undefined && value !== "");
    const text = new URLSearchParams(entries).toString();
    return `#/${path.map(encodeURIComponent).join("/")}${text && `?${text}`}`;
}

/** Goes to an address. With `replace`, the address replaces the current history entry. */
export function go(hash, { replace = false } = {}) {
    if (replace) location.replace(hash);
    else location.hash = hash;
}
