// The overview: state, figures, charts and insights.

import { element } from "./dom.js";
import { ago, bytes, count, duration, number, roughly, share, since, week } from "./format.js";
import { bar, blank, card, chart, figures, heading, more, songLink, warnings } from "./parts.js";
import { find, label, move, timeline } from "./period.js";
import { write } from "./route.js";
import { table } from "./table.js";
import { insightTitle, reason } from "./words.js";

/**
 * Maximum number of unread bytes at which the state is still “up to date”. The program reads this number of
 * bytes in a moment. If the bytes stay unread, they belong to an unfinished line.
 */
const MAX_UNREAD = 1 << 20;
/** Maximum number of reject reasons shown. */
const REASONS = 4;

export const title = () => "Overview";
export const isLive = true;

export function load({ query }, get) {
    return get(["overview"], { period: query.get("period") });
}

export function render(data, context) {
    const { status } = context;
    if (!status.totals.rows) return [head(context), empty(status)];
    const sums = context.period ? totalsOfPeriod(context, data) : totals(context, data);
    return [head(context), warnings(status), sums, timeline(context.periods, context.route), charts(data, context), insights(context, data)];
}

function head({ status, live }) {
    return heading("Overview", "Seven exact insights from the listening logs, updated as the logs grow.",
        element("p", { class: "state", "data-state": live?.state ?? status.state }, state(status, live), " ",
            element("span", { class: "meaning" }, `Epoch ${number(status.epoch)}, published ${since(status.published_at)}.`)));
}

/** The state as a sentence. */
function state(status, live) {
    const { bytes_unread: unread, rows_per_second: speed } = live ?? status;
    if ((live?.state ?? status.state) === "waiting_for_room") {
        return "Waiting for disk space: the disk is full or writing fails. No data is lost, and work resumes automatically.";
    }
    if (unread > MAX_UNREAD) return `Catching up: ${bytes(unread)} left to read.`;
    return speed > 0 ? "Up to date: new rows are counted as they arrive." : "Up to date: all rows of the logs are counted.";
}

function empty(status) {
    return blank("No plays yet: drop a CSV log into data/incoming",
        "The dashboard shows new plays as soon as they are counted. The setting “incoming” names the folder. A log looks like this:",
        element("pre", {}, "user_id,song_id,timestamp,duration_sec\nuser_22,song_92,2025-03-20 00:00:00,159\n"),
        "If you have no log, generate a live feed in a second terminal:",
        element("pre", {}, "music-insights generate --rate 1000 --start now\n"),
        `The catalog has ${count(status.catalog.songs, "song")}.`);
}

function totals({ status, live }, { night_owls: owls, loyal, listeners }) {
    const { totals, catalog, songs_played: songs } = status;
    const { plays, rejected, unmatched } = { ...totals, ...live };
    const ofListeners = (number) => number === null ? "disabled by the settings" : `${share(number / listeners)} of listeners`;
    return figures(
        ["Plays", number(plays), `in ${count(totals.inputs, "log")}, ${bytes(totals.bytes)}`, write(["insights", "enriched_logs"])],
        ["Listeners", number(listeners), "with at least one play"],
        ["Songs played", number(songs), `${number(catalog.songs)} in the catalog`],
        ["Night owls", number(owls ?? NaN), ofListeners(owls), write(["insights", "night_owl_users"])],
        ["Loyal listeners", number(loyal ?? NaN), ofListeners(loyal), write(["insights", "genre_loyalty_scores"])],
        ["Unmatched plays", number(unmatched), "their songs are not in the catalog", write(["inputs"])],
        ["Rejected rows", number(rejected), "each stored with its reason", write(["inputs"])]);
}

/** The figures of a period. */
function totalsOfPeriod({ status, period }, data) {
    const { plays, songs_played: songs, unmatched, night_owls: owls, loyal, listeners } = data;
    const ofListeners = (number) => number === null ? "not kept for periods" : `${share(number / listeners)} of listeners`;
    return figures(
        ["Plays", number(plays), `in ${period.label}`],
        ["Listeners", number(listeners), "with at least one play"],
        ["Songs played", number(songs), `${number(status.catalog.songs)} in the catalog`],
        ["Night owls", number(owls ?? NaN), ofListeners(owls), write(["insights", "night_owl_users"])],
        ["Loyal listeners", number(loyal ?? NaN), ofListeners(loyal), write(["insights", "genre_loyalty_scores"])],
        ["Unmatched plays", number(unmatched), "their songs are not in the catalog"]);
}

function charts(data, context) {
    const { status, live, zone, period } = context;
    const { rows_per_second: speed, freshness_seconds: freshness } = live ?? status;
    const to = (name) => ({ link: write(["insights", name]) });
    const drawn = (name) => chart(data.charts[name], data.absent[name]);
    const numbers = (made) => more("As a table", made);
    return element("div", { class: "cards" },
        !period && card("Rows per second", "Rows read from the logs.", {},
            element("p", { class: "now" }, roughly(speed)), chart(live?.charts.throughput)),
        !period && card("Freshness", "Time from the arrival of a row until all tables include it.", {},
            element("p", { class: "now" }, duration(freshness ?? NaN)), chart(live?.charts.freshness)),
        card("When people listen", `Plays by hour of the week, in ${zone}.`, to("night_owl_users"),
            drawn("hours"), numbers(hours(data.hours))),
        topSongs(data, context, drawn("top_songs"), to("top_songs_this_week")),
        card("Happy songs for sad listeners", "The happy songs that are recommended to the most listeners of sad songs.", to("happy_recommendations"),
            drawn("recommended"), numbers(songs("Most recommended songs", "listeners", data.recommended))),
        card("Favourite genres", "Plays by genre.", to("user_favorite_genres"),
            drawn("genres"), numbers(genres(data.genres))),
        card("Loyalty", `Listeners by the share of plays in their favourite genre${data.loyalty?.sampled ? " (sample)" : ""}.`, to("genre_loyalty_scores"),
            drawn("loyalty"), numbers(buckets(data.loyalty?.buckets ?? []))),
        card("Listening time", "Songs by mean listening time.", to("avg_listen_time_per_song"),
            drawn("listen_times")),
        !period && inputs(context));
}

function topSongs(data, { periods, period }, drawn, to) {
    const title = period ? "Top songs" : "Top songs of the week";
    const meaning = `The most played songs of ${period ? period.label : week(data.week)}.`;
    if (!data.before) return card(title, meaning, to, drawn, more("As a table", songs(title, "plays", data.top_songs)));
    const before = find(periods, data.before);
    const most = Math.max(1, ...data.top_songs.map(({ plays }) => plays));
    const row = (song, at) => element("li", {},
        element("span", {}, songLink(song), " ", song.artist && element("small", {}, song.artist)),
        element("span", { class: "number" }, number(song.plays)),
        move(at + 1, song.place_before),
        bar(song.plays / most));
    return card(title, `${meaning} The places are compared with ${before ? label(before) : data.before}.`, to,
        element("ol", { class: "ranking" }, data.top_songs.map(row)));
}

/** A summary of the inputs. */
function inputs({ status, live }) {
    const unread = live?.bytes_unread ?? status.bytes_unread;
    const reasons = [...status.rejects].sort((a, b) => b.rows - a.rows).slice(0, REASONS);
    const row = (name, value) => element("li", {}, element("span", {}, name), element("span", { class: "number" }, value));
    return card("Inputs", "Reading progress and rejected rows.", { link: write(["inputs"]) },
        element("ul", { class: "lines" },
            row("Logs", number(status.totals.inputs)),
            row("Not read to the end", number(status.inputs_unfinished)),
            row("Left to read", bytes(unread)),
            row("Songs in the catalog", number(status.catalog.songs)),
            row("Catalog loaded", ago(status.catalog.age_seconds)),
            reasons.map(({ reason: code, rows }) => row(`Rejected: ${reason(code)}`, number(rows)))));
}

const text = (name) => ({ name, type: "text" });
const integer = (name, title) => ({ name, type: "integer", title });

function songs(label, counted, rows) {
    return table({ label, columns: [text("title"), text("artist"), integer(counted)], rows, cell: (name, row) => name === "title" ? songLink(row) : undefined });
}

function genres(rows) {
    const all = rows.reduce((sum, { plays }) => sum + plays, 0);
    const columns = [text("genre"), integer("plays"), { name: "part", type: "number", title: "Share" }];
    return table({ label: "Plays by genre", columns, rows, cell: (name, { plays }) => name === "part" ? share(plays / all) : undefined });
}

function hours(plays) {
    // 1 January 2024 was a Monday.
    const day = new Intl.DateTimeFormat(undefined, { weekday: "short", timeZone: "UTC" });
    const names = Array.from({ length: 7 }, (_, at) => day.format(Date.UTC(2024, 0, 1 + at)));
    const rows = names.map((name, at) => ({ day: name, ...plays.slice(at * 24, at * 24 + 24) }));
    const columns = [text("day"), ...Array.from({ length: 24 }, (_, hour) => integer(hour, String(hour).padStart(2, "0")))];
    return table({ label: "Plays by hour of the week", columns, rows });
}

function buckets(listeners) {
    const width = 1 / listeners.length;
    const rows = listeners.map((number, at) => ({ part: `${share(at * width)} – ${share((at + 1) * width)}`, listeners: number }));
    return table({ label: "Listeners by share of plays in one genre", columns: [{ ...text("part"), title: "Share" }, integer("listeners")], rows });
}

function insights({ status, period }, { tables }) {
    const listed = status.insights.filter(({ name }) => name in tables);
    const isWeekly = ({ name }) => name === "top_songs_this_week";
    const sized = listed.map((insight) => ({ ...insight, ...tables[insight.name], title: insightTitle(insight, period), meaning: period && isWeekly(insight) ? `The most played songs of ${period.label}.` : insight.meaning }));
    const entry = ({ name, title, meaning, rows, bytes: size }) => element("li", {},
        element("a", { href: write(["insights", name]) }, title),
        element("p", { class: "meaning" }, meaning),
        element("p", { class: "amount" }, `${count(rows, "row")}, ${bytes(size)}`));
    return card("The insights", "Tables to search, sort and download.", { wide: true }, element("ul", { class: "insights" }, sized.map(entry)));
}
