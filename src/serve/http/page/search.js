// The search box in the header. It suggests listeners and songs while the reader types.

import { get } from "./api.js";
import { element } from "./dom.js";
import { go, write } from "./route.js";

/** Time from the last keystroke to the start of the search, in milliseconds. */
const TYPING = 120;

const box = document.getElementById("search");
const list = document.getElementById("suggestions");
let pending = new AbortController();
let typing;
/** Whether the suggestions are older than the text. If so, Enter waits for new suggestions. */
let isStale = false;
let isEntered = false;

/** Registers the event listeners. */
export function start() {
    box.addEventListener("input", () => {
        isStale = true;
        isEntered = false;
        clearTimeout(typing);
        typing = setTimeout(find, TYPING);
    });
    box.addEventListener("keydown", onKey);
    box.addEventListener("focus", () => options().length > 0 && open(true));
    box.addEventListener("blur", () => open(false));
    // The focus stays in the box, so that `blur` does not hide the list before the click.
    list.addEventListener("mousedown", (event) => event.preventDefault());
    list.addEventListener("click", (event) => choose(event.target.closest("[role=option]")));
    document.addEventListener("keydown", (event) => {
        const isElsewhere = event.target.closest("input, textarea, select");
        if (event.key !== "/" || isElsewhere || event.ctrlKey || event.metaKey || event.altKey) return;
        event.preventDefault();
        box.focus();
        box.select();
    });
}

async function find() {
    pending.abort();
    pending = new AbortController();
    const { signal } = pending;
    const text = box.value.trim();
    try {
        const found = text ? await get(["search"], { text }, signal) : { users: [], songs: [] };
        if (signal.aborted) return;
        isStale = false;
        suggest(text, found);
        if (isEntered) choose(options()[0]);
    } catch {
        // The search was aborted, or the server cannot be reached. The banner reports a lost connection.
        if (!signal.aborted) open(false);
    }
}

function suggest(text, { users, songs }) {
    const listeners = users.map((id) => option(write(["users", id]), id, ""));
    const titles = songs.map((song) => option(write(["songs", song.song_id]), song.title || song.song_id, [song.artist, song.song_id].filter(Boolean).join(" · ")));
    list.replaceChildren(...group("Listeners", listeners), ...group("Songs", titles));
    if (text && options().length === 0) list.append(element("div", { class: "none", role: "option", "aria-disabled": "true", "aria-selected": "false" }, "No listener or song found"));
    // `aria-activedescendant` refers to options by id.
    options().forEach((each, at) => { each.id = `suggestion-${at}`; });
    box.removeAttribute("aria-activedescendant");
    open(list.childElementCount > 0 && document.activeElement === box);
}

function group(title, entries) {
    return entries.length > 0 ? [element("div", { role: "group", "aria-label": title }, element("p", { "aria-hidden": "true" }, title), entries)] : [];
}

function option(to, name, remark) {
    return element("div", { role: "option", "aria-selected": "false", "data-address": to }, element("span", {}, name), remark && element("small", {}, remark));
}

function options() {
    return [...list.querySelectorAll("[data-address]")];
}

function onKey(event) {
    const all = options();
    const at = all.findIndex((each) => each.getAttribute("aria-selected") === "true");
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
        event.preventDefault();
        open(all.length > 0);
        // After the last option and before the first option, the box itself is selected.
        const positions = all.length + 1;
        select(all, (at + 1 + (event.key === "ArrowDown" ? 1 : positions - 1)) % positions - 1);
    } else if (event.key === "Enter") {
        event.preventDefault();
        if (isStale) isEntered = true;
        else choose(all[Math.max(at, 0)]);
    } else if (event.key === "Escape") {
        event.preventDefault();
        if (list.hidden) box.value = "";
        if (list.hidden) find();
        open(false);
    }
}

function select(all, at) {
    all.forEach((each, index) => each.setAttribute("aria-selected", index === at));
    if (at < 0) return box.removeAttribute("aria-activedescendant");
    box.setAttribute("aria-activedescendant", all[at].id);
    all[at].scrollIntoView({ block: "nearest" });
}

function choose(option) {
    if (!option) return;
    isEntered = false;
    open(false);
    box.value = "";
    list.replaceChildren();
    box.blur();
    go(option.dataset.address);
}

function open(isOpen) {
    list.hidden = !isOpen;
    box.setAttribute("aria-expanded", isOpen);
}
