// Formats numbers, sizes and times in the language of the browser.

const whole = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 });
const exact = new Intl.NumberFormat(undefined, { maximumFractionDigits: 9 });
const short = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 });
const percent = new Intl.NumberFormat(undefined, { style: "percent", maximumFractionDigits: 1 });
const finePercent = new Intl.NumberFormat(undefined, { style: "percent", maximumFractionDigits: 9 });
const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "auto", style: "short" });

/** Shown in place of a missing value. */
export const NOTHING = "–";

/** A number with all decimal places: `12,345`. */
export function number(value) {
    return Number.isFinite(value) ? exact.format(value) : NOTHING;
}

/** A rounded number: `9.5`, `12,345`. Only numbers below ten have a decimal place. */
export function roughly(value) {
    if (!Number.isFinite(value)) return NOTHING;
    return (Math.abs(value) < 10 ? short : whole).format(value);
}

/** A share with one decimal place: `95.3 %`. */
export function share(value) {
    return Number.isFinite(value) ? percent.format(value) : NOTHING;
}

/** A share with all decimal places: `95.35 %`. */
export function exactShare(value) {
    return Number.isFinite(value) ? finePercent.format(value) : NOTHING;
}

/** A size: `1.2 GiB`. The program writes all sizes in binary units. */
export function bytes(value) {
    if (!Number.isFinite(value)) return NOTHING;
    const units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let at = 0;
    for (; value >= 1024 && at < units.length - 1; at++) value /= 1024;
    return `${short.format(value)} ${units[at]}`;
}

/** A number with its noun: `1 play`, `2 plays`. */
export function count(value, one, many = `${one}s`) {
    return `${number(value)} ${value === 1 ? one : many}`;
}

/** A duration: `310 ms`, `4.2 s`, `3 min`. */
export function duration(seconds) {
    if (!Number.isFinite(seconds)) return NOTHING;
    if (seconds < 1) return `${whole.format(seconds * 1000)} ms`;
    if (seconds < 120) return `${short.format(seconds)} s`;
    if (seconds < 7200) return `${whole.format(seconds / 60)} min`;
    if (seconds < 172_800) return `${short.format(seconds / 3600)} h`;
    return `${whole.format(seconds / 86_400)} days`;
}

/** Relative time: `3 sec. ago`. */
export function ago(seconds) {
    if (!Number.isFinite(seconds)) return NOTHING;
    const past = Math.max(0, seconds);
    const [unit, length] = [["day", 86_400], ["hour", 3600], ["minute", 60]].find(([, length]) => past >= 2 * length)
        ?? ["second", 1];
    return relative.format(-Math.floor(past / length), unit);
}

/** Relative time of a timestamp from the server. */
export function since(moment) {
    return ago((Date.now() - Date.parse(moment)) / 1000);
}

/** A timestamp in the local time of a time zone; unchanged if the browser cannot format it. */
export function moment(text, zone) {
    try {
        const options = { dateStyle: "medium", timeStyle: "medium", timeZone: zone };
        return new Intl.DateTimeFormat(undefined, options).format(new Date(text));
    } catch {
        return text;
    }
}

/** A week with its dates: `2025-W13` becomes `2025-W13 (24–30 Mar 2025)`. */
export function week(text) {
    const [year, number] = text?.split("-W").map(Number) ?? [];
    if (!year || !number) return text ?? NOTHING;
    // 4 January is always in ISO week 1.
    const fourth = new Date(Date.UTC(year, 0, 4));
    const monday = new Date(fourth);
    monday.setUTCDate(4 - ((fourth.getUTCDay() + 6) % 7) + (number - 1) * 7);
    const sunday = new Date(monday);
    sunday.setUTCDate(monday.getUTCDate() + 6);
    const days = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeZone: "UTC" });
    return `${text} (${days.formatRange(monday, sunday)})`;
}
