// Nodes, made from data. Text only ever becomes text: nothing here reads markup but `drawing`, which
// takes the server's own SVG, and as SVG alone.

/**
 * An element. An attribute that is null or false is left out; children may be nodes, texts, nested
 * lists, or nothing.
 */
export function element(name, attributes = {}, ...children) {
    return fill(document.createElement(name), attributes, children);
}

/** An SVG element. */
export function shape(name, attributes = {}, ...children) {
    return fill(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function fill(made, attributes, children) {
    for (const [name, value] of Object.entries(attributes)) {
        if (isThere(value)) made.setAttribute(name, value);
    }
    made.append(...children.flat(Infinity).filter(isThere));
    return made;
}

/** Whether a value is one: a condition that does not hold gives none. */
function isThere(value) {
    return value !== null && value !== undefined && value !== false;
}

/** Drawings that were read last, by their text: most are the same from one second to the next. */
const read = new Map();
const REMEMBERED = 16;

/** What an SVG text of the server draws; nothing if there is none, or it is not well-formed. */
export function drawing(text) {
    if (!text) return null;
    if (!read.has(text)) {
        if (read.size === REMEMBERED) read.delete(read.keys().next().value);
        read.set(text, parsed(text));
    }
    return read.get(text)?.cloneNode(true) ?? null;
}

function parsed(text) {
    // Inside HTML an SVG needs no namespace, but a parser of XML takes it for something else without.
    const named = text.replace(/^<svg(?![^>]*\sxmlns=)/, '<svg xmlns="http://www.w3.org/2000/svg"');
    const root = new DOMParser().parseFromString(named, "image/svg+xml").documentElement;
    return root.nodeName === "svg" ? document.importNode(root, true) : null;
}

/**
 * Makes `old` hold what `fresh` holds, and touches only what differs: focus, selection, scroll
 * positions and what a person has opened stay as they are.
 */
export function morph(old, fresh) {
    // A list of its own, because nodes that are taken over leave `fresh`.
    const wanted = [...fresh.childNodes];
    while (old.childNodes.length > wanted.length) old.lastChild.remove();
    wanted.forEach((child, at) => {
        const present = old.childNodes[at];
        if (!present) old.append(child);
        // The browser compares far quicker than what follows, and most of a page stays as it is.
        else if (present.isEqualNode(child)) return;
        else if (!isSameKind(present, child)) present.replaceWith(child);
        else if (child.nodeType === Node.ELEMENT_NODE) {
            morphAttributes(present, child);
            morph(present, child);
        } else if (present.data !== child.data) present.data = child.data;
    });
}

/** Whether one node can become the other. Where `data-key` differs, it is another thing in the same place. */
function isSameKind(one, other) {
    return one.nodeName === other.nodeName && one.dataset?.key === other.dataset?.key;
}

function morphAttributes(old, fresh) {
    for (const { name } of [...old.attributes]) {
        // Whether a thing is open is up to who opened it.
        if (!fresh.hasAttribute(name) && name !== "open") old.removeAttribute(name);
    }
    for (const { name, value } of fresh.attributes) {
        if (old.getAttribute(name) === value) continue;
        old.setAttribute(name, value);
        // The attribute alone does not change what was typed, and while somebody types it must not.
        if (name === "value" && old !== document.activeElement) old.value = value;
    }
}
