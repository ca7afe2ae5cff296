// Periods: their names, the choice beside the title, and the bars of plays over time.

import { element, shape } from "./dom.js";
import { count, number, week } from "./format.js";
import { card, more } from "./parts.js";
import { write } from "./route.js";
import { table } from "./table.js";

/** Milliseconds per day. */
const DAY = 86_400_000;
/** Maximum number of bars. More bars would be too thin on a phone. */
const MAX_BARS = 36;
/** With more periods than this, days and weeks are grouped by year. */
const MAX_GROUP = 60;

/** All lengths with their headings, in the order of the choice. */
const LENGTHS = { year: "Years", quarter: "Quarters", month: "Months", week: "Weeks", day: "Days" };
/** The lengths of the bars. The first one that is kept is shown first. */
const BARS = ["month", "week", "day", "quarter", "year"];

const utc = (text) => new Date(`${text}T00:00:00Z`);
const iso = (date) => date.toISOString().slice(0, 10);
const formatter = (options) => new Intl.DateTimeFormat(undefined, { ...options, timeZone: "UTC" });
const days = formatter({ dateStyle: "medium" });
const months = formatter({ month: "long", year: "numeric" });

/** The name of a period for readers, such as “March 2025”. */
export function label({ period, length, from }) {
    if (length === "day") return days.format(utc(from));
    if (length === "week") return week(period);
    if (length === "month") return months.format(utc(from));
    if (length === "quarter") return `${period.slice(5)} ${period.slice(0, 4)}`;
    return period;
}

/** The published period with a name; undefined if there is none. */
export function find(periods, name) {
    const all = Object.values(periods?.periods ?? {});
    return all.flat().find(({ period }) => period === name);
}

/** The first day of the period that contains a day. Both are dates. */
function start(length, day) {
    const [year, month] = [day.getUTCFullYear(), day.getUTCMonth()];
    if (length === "day") return day;
    if (length === "week") return new Date(day - ((day.getUTCDay() + 6) % 7) * DAY);
    if (length === "month") return new Date(Date.UTC(year, month, 1));
    if (length === "quarter") return new Date(Date.UTC(year, month - month % 3, 1));
    return new Date(Date.UTC(year, 0, 1));
}

/** The period that contains a day, as an entry without plays. */
function containing(length, day) {
    const first = start(length, day);
    // The longest period of a length after the first day lies in the next period, however short that one is.
    const longest = { day: 1, week: 7, month: 31, quarter: 92, year: 366 }[length];
    const last = new Date(start(length, new Date(first.getTime() + longest * DAY)) - DAY);
    const year = first.getUTCFullYear();
    const name = {
        day: () => iso(first),
        week() {
            const thursday = new Date(first.getTime() + 3 * DAY);
            const ordinal = (thursday - Date.UTC(thursday.getUTCFullYear(), 0, 1)) / DAY;
            return `${thursday.getUTCFullYear()}-W${String(1 + Math.floor(ordinal / 7)).padStart(2, "0")}`;
        },
        month: () => iso(first).slice(0, 7),
        quarter: () => `${year}-Q${1 + first.getUTCMonth() / 3}`,
        year: () => String(year),
    }[length]();
    return { period: name, length, from: iso(first), to: iso(last), plays: 0, open: false };
}

/** The current day in a time zone. */
function today(zone) {
    try {
        return utc(new Intl.DateTimeFormat("en-CA", { timeZone: zone, year: "numeric", month: "2-digit", day: "2-digit" }).format());
    } catch {
        return utc(iso(new Date()));
    }
}

const dayBefore = (text) => iso(new Date(utc(text) - DAY));

/** This and the last period of a length, as `[name, period]`. If they have no plays, the latest ones. */
function recent(listed, length, zone) {
    const current = containing(length, today(zone));
    const last = containing(length, utc(dayBefore(current.from)));
    const known = (wanted) => listed.find(({ period }) => period === wanted.period);
    const names = length === "day" ? ["Today", "Yesterday"] : [`This ${length}`, `Last ${length}`];
    const found = [[names[0], known(current)], [names[1], known(last)]].filter(([, period]) => period);
    if (found.length > 0 || listed.length === 0) return found;
    const [latest, before] = listed;
    const isNeighbour = before && before.to === dayBefore(latest.from);
    return [[`Latest ${length}`, latest], isNeighbour && [`The ${length} before`, before]].filter(Boolean);
}

function options(periods, name, zone) {
    const option = (period, text) => element("option", { value: period, selected: period === name && "" }, text);
    const lengths = Object.keys(LENGTHS).filter((length) => periods.periods[length].length > 0);
    const latest = lengths.flatMap((length) => recent(periods.periods[length], length, zone));
    const groups = lengths.flatMap((length) => {
        const listed = periods.periods[length];
        if (listed.length <= MAX_GROUP) return [[LENGTHS[length], listed]];
        const years = [...new Set(listed.map(({ period }) => period.slice(0, 4)))];
        return years.map((year) => [`${LENGTHS[length]} of ${year}`, listed.filter(({ period }) => period.startsWith(year))]);
    });
    const group = (title, entries) => element("optgroup", { label: title }, entries);
    return [
        option("", "All time"),
        // The period of the address may be no longer published.
        name && !find(periods, name) && option(name, name),
        latest.length > 0 && group("Latest", latest.map(([title, each]) => option(each.period, `${title} (${label(each)})`))),
        groups.map(([title, listed]) => group(title, listed.map((each) => option(each.period, label(each))))),
    ];
}

/** The choice of a period for the view of a route. */
export function chooser(periods, { path, query }, zone) {
    const name = query.get("period");
    const chosen = find(periods, name);
    const to = (period) => period && write(path, { ...Object.fromEntries(query), cursor: null, period });
    const step = (title, sign, target) => {
        const neighbour = find(periods, target);
        const text = neighbour ? `${title} ${neighbour.length}: ${label(neighbour)}` : `${title} period`;
        return element("button", { type: "button", class: "turn", "data-to": to(target), "aria-disabled": target ? null : "true", "aria-label": text, title: text }, sign);
    };
    const extent = chosen && `${days.formatRange(utc(chosen.from), utc(chosen.to))}${chosen.open ? ", still open" : ""}`;
    return element("div", { class: "period", role: "group", "aria-label": "Period" },
        step("Previous", "‹", chosen?.previous),
        element("select", { "aria-label": "Period", "data-period": "" }, options(periods, name, zone)),
        step("Next", "›", chosen?.next),
        chosen && element("p", { class: "extent", "data-announce": "" }, extent));
}

/** All periods of a length from the first published one to the latest one, with those that have no plays. */
function filled(periods, length) {
    const listed = periods.periods[length];
    const known = new Map(listed.map((each) => [each.period, each]));
    const end = [listed[0].to, periods.latest_day ?? ""].sort().at(-1);
    const all = [];
    for (let day = utc(listed.at(-1).from); iso(day) <= end; day = new Date(utc(all.at(-1).to).getTime() + DAY)) {
        const each = containing(length, day);
        all.push(known.get(each.period) ?? each);
    }
    return all;
}

/** The bars of plays over time. Null if no period is published. */
export function timeline(periods, { path, query }) {
    const lengths = BARS.filter((length) => periods?.periods[length].length > 0);
    if (lengths.length === 0) return null;
    const chosen = find(periods, query.get("period"));
    const length = [query.get("by"), chosen?.length].find((wanted) => lengths.includes(wanted)) ?? lengths[0];
    const to = (changes) => write(path, { ...Object.fromEntries(query), ...changes });
    const isChosen = ({ from, to: last }) => chosen && from >= chosen.from && last <= chosen.to;

    const all = filled(periods, length);
    // The bars of the chosen period are in the middle, otherwise the latest bars are shown.
    const at = all.findIndex(isChosen);
    const middle = at < 0 ? all.length : Math.floor((at + all.findLastIndex(isChosen)) / 2);
    const first = Math.max(0, Math.min(all.length - MAX_BARS, middle - MAX_BARS / 2));
    const shown = all.slice(first, first + MAX_BARS);
    const most = Math.max(1, ...shown.map(({ plays }) => plays));
    const focused = shown.findIndex(isChosen);
    const bar = (each, place) => {
        const text = `${label(each)}: ${count(each.plays, "play")}${each.open ? ", still open" : ""}`;
        const height = each.plays === 0 ? 0 : Math.max(1, 100 * each.plays / most);
        const drawn = shape("svg", { viewBox: "0 0 10 100", preserveAspectRatio: "none", "aria-hidden": "true" },
            shape("rect", { class: "bar-part", x: 0, y: (100 - height).toFixed(2), width: 10, height: height.toFixed(2) }));
        const state = { title: text, "data-open": each.open && "", "data-chosen": isChosen(each) && "" };
        if (each.plays === 0) return element("li", {}, element("span", { ...state, role: "img", "aria-label": text }, drawn));
        // One bar takes part in the order of the keyboard. The table below has links to all periods.
        const isFocusable = place === (focused < 0 ? shown.length - 1 : focused);
        return element("li", {}, element("a", { ...state, href: to({ period: each.period, cursor: null }), "aria-label": text, "aria-current": each.period === chosen?.period && "true", tabindex: isFocusable ? null : -1 }, drawn));
    };
    const toggle = (each) => element("button", { type: "button", class: "turn", "data-to": to({ by: each }), "aria-pressed": each === length ? "true" : "false" }, LENGTHS[each]);
    const columns = [{ name: "period", type: "text", title: "Period" }, { name: "plays", type: "integer" }];
    const cell = (name, each) => name === "period" && each.plays > 0 ? element("a", { href: to({ period: each.period }) }, label(each)) : name === "period" ? label(each) : undefined;
    return card("Plays over time", `Plays per ${length}. The highest bar stands for ${count(most, "play")}. A click on a bar shows that ${length}.`, { wide: true },
        lengths.length > 1 && element("div", { class: "lengths", role: "group", "aria-label": "Length of the periods" }, Object.keys(LENGTHS).reverse().filter((each) => lengths.includes(each)).map(toggle)),
        element("div", { class: "plot" },
            element("ol", { class: "timeline", "aria-label": `Plays per ${length}` }, shown.map(bar)),
            element("div", { class: "axis", "aria-hidden": "true" }, element("span", {}, label(shown[0])), shown.length > 1 && element("span", {}, label(shown.at(-1))))),
        shown.length < all.length && element("p", { class: "meaning" }, `${number(shown.length)} of ${number(all.length)} periods.`),
        more("As a table", table({ label: `Plays per ${length}`, columns, rows: [...shown].reverse(), cell })));
}

/** The place of a song compared with the period before: new, up, down or the same. */
export function move(now, before) {
    const [kind, text] = before === null ? ["new", "new"]
        : before > now ? ["up", `up ${number(before - now)}`]
        : before < now ? ["down", `down ${number(now - before)}`]
        : ["same", "same"];
    return element("span", { class: "move", "data-move": kind }, text);
}
