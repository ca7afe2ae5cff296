// The address of a view, such as `#/insights/night_owl_users?search=a`. It determines everything that a
// view shows, so that links, reloading and the back button work.

/** Parses an address into `{ path, query }`: decoded segments and search parameters. Null if the address is malformed. */
export function read(hash) {
    const [path, query] = hash.replace(/^#?\/?/, "").split("?", 2);
    try {
        return { path: path.split("/").filter(Boolean).map(decodeURIComponent), query: new URLSearchParams(query) };
    } catch {
        return null;
    }
}

/** The address for a path and a query. Empty values are left out. */
export function write(path, query = {}) {
    const entries = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
    const text = new URLSearchParams(entries).toString();
    return `#/${path.map(encodeURIComponent).join("/")}${text && `?${text}`}`;
}

/** Goes to an address. With `replace`, the address replaces the current history entry. */
export function go(hash, { replace = false } = {}) {
    if (replace) location.replace(hash);
    else location.hash = hash;
}
