// Requests to the server.

import * as token from "./token.js";

const ROOT = "/api/v1/";

/** An answer that is not what was asked for, with its status. */
export class Refused extends Error {
    constructor(status, message) {
        super(message);
        this.status = status;
    }
}

/** The path of something below the API, of segments that may hold anything. */
export function path(segments, query = {}) {
    const entries = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
    const text = new URLSearchParams(entries).toString();
    return `${ROOT}${segments.map(encodeURIComponent).join("/")}${text && `?${text}`}`;
}

/** A response with a body; everything else is an error: `Refused`, or one of the network. */
export async function open(url, signal) {
    const response = await fetch(url, { headers: token.headers(), cache: "no-store", signal });
    if (response.ok) return response;
    const { error } = await response.json().catch(() => ({}));
    throw new Refused(response.status, error ?? `the server says ${response.status}`);
}

/** The data at a path. */
export async function get(segments, query, signal) {
    const response = await open(path(segments, query), signal);
    return response.json();
}
