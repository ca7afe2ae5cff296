// Requests to the server.

import * as token from "./token.js";

const ROOT = "/api/v1/";

/** An error response of the server, with its status code. */
export class Refused extends Error {
    constructor(status, message) {
        super(message);
        this.status = status;
    }
}

/** The path of an API resource. Segments are encoded, so they may contain any characters. */
export function path(segments, query = {}) {
    const entries = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
    const text = new URLSearchParams(entries).toString();
    return `${ROOT}${segments.map(encodeURIComponent).join("/")}${text && `?${text}`}`;
}

/** Sends a request and returns the successful response. Throws `Refused` if the server responds with an error. */
export async function open(url, signal) {
    const response = await fetch(url, { headers: token.headers(), cache: "no-store", signal });
    if (response.ok) return response;
    const { error } = await response.json().catch(() => ({}));
    throw new Refused(response.status, error ?? `status ${response.status}`);
}

/** The JSON data of an API resource. */
export async function get(segments, query, signal) {
    const response = await open(path(segments, query), signal);
    return response.json();
}
