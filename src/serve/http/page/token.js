// The token of a server that is not for everybody. It lasts as long as the tab.

const KEY = "music-insights-token";
let token = stored();

function stored() {
    // Storage may be forbidden; then the token lasts as long as the page.
    try { return sessionStorage.getItem(KEY); } catch { return null; }
}

/** Takes a token. */
export function keep(text) {
    token = text.trim();
    try { sessionStorage.setItem(KEY, token); } catch { /* lasts as long as the page */ }
}

/** Whether a token was given. */
export function isGiven() {
    return Boolean(token);
}

/** The header that shows it. */
export function headers() {
    return token ? { authorization: `Bearer ${token}` } : {};
}
