// One listener.

import { element } from "./dom.js";
import { count, exactShare, number, share } from "./format.js";
import { bar, card, figures, heading, songLink } from "./parts.js";
import { write } from "./route.js";
import { table } from "./table.js";

export const title = ({ path }) => path[1];

export function load({ path, query }, get) {
    return get(["users", path[1]], { period: query.get("period") });
}

export function render(listener, { status, zone, period }) {
    const { user_id: id, plays, matched, songs, night_plays: night } = listener;
    const window = `from ${status.night.from} to ${status.night.to} in ${zone}`;
    return [
        heading(id, summary(listener), badges(listener)),
        figures(
            period ? ["Plays", number(plays), `in ${period.label}`] : ["Plays", number(plays), "show all plays", write(["insights", "enriched_logs"], { user_id: id })],
            ["Matched plays", number(matched), plays > matched ? `${count(plays - matched, "play")} of songs that are not in the catalog` : "all plays"],
            ["Songs", number(songs), "distinct songs"],
            ["Plays at night", number(night), window]),
        element("div", { class: "cards pair" },
            card("Genres", "Plays by genre, most played first.", {}, genres(listener)),
            card("Recommended happy songs", period ? `The most played happy songs of ${period.label} that this listener has not heard then.` : "The most played happy songs that this listener has never heard.", {}, recommendations(listener)),
            card("Most played songs", "Up to ten songs.", { wide: true }, topSongs(listener))),
    ];
}

function summary({ plays, favorites, night_owl: owl }) {
    const likes = favorites?.length > 0 ? `, mostly ${new Intl.ListFormat("en").format(favorites)}` : "";
    return `A listener with ${count(plays, "play")}${likes}${owl === null ? "" : owl ? "; a night owl" : "; not a night owl"}.`;
}

function badges({ night_owl: owl, loyal }) {
    const texts = [owl && "Night owl", ...(loyal ?? []).map(({ genre, loyalty_score: score }) => `Loyal to ${genre}, ${exactShare(score)}`)];
    const shown = texts.filter(Boolean).map((text) => element("li", {}, text));
    return shown.length > 0 && element("ul", { class: "badges" }, shown);
}

function genres({ genres }) {
    if (genres.length === 0) return element("p", {}, "No plays of songs that have a genre.");
    const row = ({ genre, plays, share: part }) => element("li", {}, element("span", {}, genre), bar(part), element("span", { class: "number" }, `${share(part)} · ${count(plays, "play")}`));
    return element("ul", { class: "shares" }, genres.map(row));
}

function recommendations({ recommendations }) {
    if (recommendations === null) return element("p", {}, "Not available: the settings disable happy_recommendations.");
    if (recommendations.length === 0) {
        return element("p", {}, "None. Only listeners of sad songs get recommendations. A song that the listener has already heard is not recommended.");
    }
    const row = (song) => element("li", {}, songLink(song), song.artist && element("small", {}, song.artist));
    return element("ol", { class: "songs" }, recommendations.map(row));
}

function topSongs({ top_songs: rows }) {
    const columns = [{ name: "title", type: "text" }, { name: "artist", type: "text" }, { name: "plays", type: "integer" }];
    return table({ label: "Most played songs", columns, rows, cell: (name, row) => name === "title" ? songLink(row) : undefined });
}
