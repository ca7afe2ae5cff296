// The address of a view: `#/insights/night_owl_users?search=a`. All that a view shows follows from
// it, so that going back, reloading and sending it to somebody work.

/** An address as `{ path, query }`: decoded segments, and search parameters. Nothing if it is malformed. */
export function read(hash) {
    const [path, query] = hash.replace(/^#?\/?/, "").split("?", 2);
    try {
        return { path: path.split("/").filter(Boolean).map(decodeURIComponent), query: new URLSearchParams(query) };
    } catch {
        return null;
    }
}

/** The address of a path, with what the query says; empty values are left out. */
export function write(path, query = {}) {
    const entries = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
    const text = new URLSearchParams(entries).toString();
    return `#/${path.map(encodeURIComponent).join("/")}${text && `?${text}`}`;
}

/** Goes to an address, as another page or (`replace`) instead of this one. */
export function go(hash, { replace = false } = {}) {
    if (replace) location.replace(hash);
    else location.hash = hash;
}
