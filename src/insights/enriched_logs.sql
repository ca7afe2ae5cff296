-- Every play of a song in the catalog, with the metadata of the song, in the order of the inputs.
--
-- There are no parameters.

SELECT song_id, user_id, timestamp, duration_sec, title, artist, genre, mood
FROM songs JOIN plays USING (song_id)
ORDER BY input, place
