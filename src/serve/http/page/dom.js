// Builds and updates DOM nodes. Text always becomes text nodes. Only `drawing` parses markup, which is SVG
// from the server.

/**
 * An HTML element. Attributes that are null, undefined or false are left out. Children can be nodes,
 * strings and nested arrays; null, undefined and false are skipped.
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
        if (isPresent(value)) made.setAttribute(name, value);
    }
    made.append(...children.flat(Infinity).filter(isPresent));
    return made;
}

/** Whether a value is present. `condition && value` is false if the condition does not hold. */
function isPresent(value) {
    return value !== null && value !== undefined && value !== false;
}

/** Parsed drawings by SVG text. Caching helps, because most drawings do not change from second to second. */
const cache = new Map();
const CACHE_SIZE = 16;

/** The SVG element for a text from the server; null if the text is empty or malformed. */
export function drawing(text) {
    if (!text) return null;
    if (!cache.has(text)) {
        if (cache.size === CACHE_SIZE) cache.delete(cache.keys().next().value);
        cache.set(text, parse(text));
    }
    return cache.get(text)?.cloneNode(true) ?? null;
}

function parse(text) {
    // SVG inside HTML needs no namespace, but the XML parser needs one.
    const named = text.replace(/^<svg(?![^>]*\sxmlns=)/, '<svg xmlns="http://www.w3.org/2000/svg"');
    const root = new DOMParser().parseFromString(named, "image/svg+xml").documentElement;
    return root.nodeName === "svg" ? document.importNode(root, true) : null;
}

/**
 * Makes the children of `old` equal to the children of `fresh`. Changes only the nodes that differ, so that
 * focus, selection, scroll positions and open details stay as they are.
 */
export function morph(old, fresh) {
    // The list is copied, because a node that moves to `old` leaves `fresh`.
    const wanted = [...fresh.childNodes];
    while (old.childNodes.length > wanted.length) old.lastChild.remove();
    wanted.forEach((child, at) => {
        const present = old.childNodes[at];
        if (!present) old.append(child);
        // Most nodes are equal, and the native comparison is much faster than the code below.
        else if (present.isEqualNode(child)) return;
        else if (!isSameKind(present, child)) present.replaceWith(child);
        else if (child.nodeType === Node.ELEMENT_NODE) {
            morphAttributes(present, child);
            morph(present, child);
        } else if (present.data !== child.data) present.data = child.data;
    });
}

/** Whether one node can be turned into the other. A different `data-key` means different content. */
function isSameKind(one, other) {
    return one.nodeName === other.nodeName && one.dataset?.key === other.dataset?.key;
}

function morphAttributes(old, fresh) {
    for (const { name } of [...old.attributes]) {
        // The reader opens and closes details, so the attribute `open` stays.
        if (!fresh.hasAttribute(name) && name !== "open") old.removeAttribute(name);
    }
    for (const { name, value } of fresh.attributes) {
        if (old.getAttribute(name) === value) continue;
        old.setAttribute(name, value);
        // Setting the attribute alone does not change the text in the field. While the reader types in the
        // field, the text must stay.
        if (name === "value" && old !== document.activeElement) old.value = value;
    }
}
