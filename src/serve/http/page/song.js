// One song.

import { element } from "./dom.js";
import { NOTHING, duration, number, week as weekText } from "./format.js";
import { figures, heading } from "./parts.js";
import { write } from "./route.js";

export const title = ({ path }, song) => song?.title || path[1];

export function load({ path, query }, get) {
    return get(["songs", path[1]], { period: query.get("period") });
}

export function render(song, { route, week, period }) {
    const { song_id: id, plays, seconds, avg_duration: mean, in_catalog: known } = song;
    const inWeek = week ? weekText(week) : "this week";
    return [
        heading(title(route, song), song.artist ? `A song by ${song.artist}.` : "A song.", element("p", { class: "downloads" }, element("code", {}, id))),
        !known && element("p", { class: "notice" }, "This song is not in the catalog. Its plays are stored and will be included in all tables once the catalog has the song."),
        figures(
            period ? ["Plays", number(plays), `in ${period.label}`]
                : ["Plays", number(plays), known ? "show all plays" : null, known && write(["insights", "enriched_logs"], { song_id: id })],
            ["Seconds per play", number(mean ?? NaN), "mean of all plays"],
            ["Listening time", duration(seconds), "total of all plays"],
            !period && ["Plays in the week", number(song.plays_this_week ?? NaN), song.plays_this_week === null ? "known only for the top songs" : inWeek],
            [period ? "Rank" : "Rank in the week", song.rank_this_week ? `№ ${number(song.rank_this_week)}` : NOTHING, song.rank_this_week ? "among the top songs" : "not among the top songs", write(["insights", "top_songs_this_week"])],
            known && ["Genre", song.genre || NOTHING, song.genre ? null : "not in the catalog"],
            known && ["Mood", song.mood || NOTHING, song.mood ? null : "not in the catalog"]),
    ];
}
