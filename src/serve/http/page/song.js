// One song.

import { element } from "./dom.js";
import { NOTHING, duration, number, week as weekText } from "./format.js";
import { figures, heading } from "./parts.js";
import { write } from "./route.js";

export const title = ({ path }, song) => song?.title || path[1];

export function load({ path }, get) {
    return get(["songs", path[1]]);
}

export function render(song, { route, week }) {
    const { song_id: id, plays, seconds, avg_duration: mean, in_catalog: known } = song;
    const inWeek = week ? weekText(week) : "this week";
    return [
        heading(title(route, song), song.artist ? `A song by ${song.artist}.` : "A song.", element("p", { class: "downloads" }, element("code", {}, id))),
        !known && element("p", { class: "notice" }, "This song is not in the catalog. Its plays are kept, and count everywhere as soon as the catalog has it."),
        figures(
            ["Plays", number(plays), known ? "see all of them" : null, known && write(["insights", "enriched_logs"], { song_id: id })],
            ["Seconds per play", number(mean ?? NaN), "on average"],
            ["Listened to", duration(seconds), "all plays together"],
            ["Plays in the week", number(song.plays_this_week ?? NaN), song.plays_this_week === null ? "shown of the most played songs" : inWeek],
            ["Place in the week", song.rank_this_week ? `№ ${number(song.rank_this_week)}` : NOTHING, song.rank_this_week ? "among the most played songs" : "not among the most played songs", write(["insights", "top_songs_this_week"])],
            known && ["Genre", song.genre || NOTHING, song.genre ? null : "the catalog has none"],
            known && ["Mood", song.mood || NOTHING, song.mood ? null : "the catalog has none"]),
    ];
}
