// The access token. It is stored until the tab is closed.

const KEY = "music-insights-token";
let token = stored();

function stored() {
    // Storage may be blocked. In that case, the token lasts until the tab is reloaded.
    try { return sessionStorage.getItem(KEY); } catch { return null; }
}

/** Stores a token. */
export function keep(text) {
    token = text.trim();
    try { sessionStorage.setItem(KEY, token); } catch { /* not stored */ }
}

/** Whether there is a token. */
export function isGiven() {
    return Boolean(token);
}

/** The request headers that carry the token. */
export function headers() {
    return token ? { authorization: `Bearer ${token}` } : {};
}
