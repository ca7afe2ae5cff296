"""Maintains two of the seven insights in Spark Structured Streaming. The input is a folder that receives new files.

Usage: spark_insights.py INCOMING SONGS.csv OUTPUT_FOLDER SCRATCH_FOLDER STATE_STORE(memory|rocksdb)

The script is tuned for speed:
- One query with one stateful aggregation computes both tables. With two queries, the fixed cost of a micro-batch would
occur twice.
- Sums are per user and genre instead of per user and song. A corrected catalog therefore does not correct earlier
plays. In music-insights it does.
- There is no trigger. The next batch starts when the previous batch has ended.
- There is no limit on files. A batch reads all new files.
- The tables are not sorted.
If the variable LIVE_PROGRESS is set, the script prints the progress that Spark reports, every five seconds.
"""

import glob
import json
import os
import signal
import sys

from pyspark.sql import SparkSession
from pyspark.sql import functions as f

incoming, songs, output, scratch, store = sys.argv[1:]
PROVIDERS = {
    "memory": "org.apache.spark.sql.execution.streaming.state.HDFSBackedStateStoreProvider",
    "rocksdb": "org.apache.spark.sql.execution.streaming.state.RocksDBStateStoreProvider",
}

# An exit through an exception lets the session stop its JVM. The default signal action would not stop the JVM.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
spark = (
    SparkSession.builder.master("local[2]")
    .config("spark.ui.enabled", "false")
    .config("spark.driver.bindAddress", "127.0.0.1")
    .config("spark.driver.host", "127.0.0.1")
    .config("spark.driver.memory", "4g")
    .config("spark.local.dir", scratch)
    .config("spark.sql.shuffle.partitions", "2")
    .config("spark.sql.session.timeZone", "UTC")
    .config("spark.sql.streaming.stateStore.providerClass", PROVIDERS[store])
    .config("spark.sql.streaming.stateStore.rocksdb.changelogCheckpointing.enabled", "true")
    .config("spark.sql.streaming.minBatchesToRetain", "2")
    .config("spark.sql.streaming.noDataMicroBatches.enabled", "false")
    .getOrCreate()
)
spark.sparkContext.setLogLevel("ERROR")

catalog = f.broadcast(spark.read.csv(songs, header=True).select("song_id", "genre").cache())
plays = spark.readStream.csv(
    incoming, header=True, schema="user_id STRING, song_id STRING, timestamp STRING, duration_sec DOUBLE"
).join(catalog, "song_id", "left")
# A play counts in both tables, so it becomes two rows. The row for the song has an empty genre.
keyed = plays.select(
    f.inline(
        f.array(
            f.struct(f.col("user_id").alias("key"), f.coalesce("genre", f.lit("")).alias("genre"),
                     f.lit(0.0).alias("seconds"), f.lit(False).alias("is_song")),
            f.struct(f.col("song_id").alias("key"), f.lit("").alias("genre"),
                     f.col("duration_sec").alias("seconds"), f.lit(True).alias("is_song")),
        )
    )
)
sums = keyed.groupBy("is_song", "key", "genre").agg(f.count("*").alias("plays"), f.sum("seconds").alias("seconds"))


def publish(name, table):
    """Writes a table as one file under a temporary name, and publishes the file by rename."""
    aside = f"{output}/.{name}"
    table.coalesce(1).write.mode("overwrite").csv(aside, header=True)
    os.makedirs(f"{output}/{name}", exist_ok=True)
    os.rename(glob.glob(f"{aside}/part-*.csv")[0], f"{output}/{name}/part-00000.csv")


def publish_both(batch, _):
    batch.persist()
    songs_played = batch.where("is_song")
    publish(
        "avg_listen_time_per_song",
        songs_played.select(f.col("key").alias("song_id"), f.round(f.col("seconds") / f.col("plays"), 2).alias("avg_duration")),
    )
    genres = batch.where("NOT is_song AND genre <> ''").select(f.col("key").alias("user_id"), "genre", "plays")
    # The query uses a maximum and a join, which both hash. A window function would sort.
    most = genres.groupBy("user_id").agg(f.max("plays").alias("plays"))
    publish(
        "user_favorite_genres",
        genres.join(most.hint("shuffle_hash"), ["user_id", "plays"]).select("user_id", "genre", f.col("plays").alias("play_count")),
    )
    batch.unpersist()


query = (
    sums.writeStream.outputMode("complete")
    .foreachBatch(publish_both)
    .option("checkpointLocation", f"{scratch}/checkpoint")
    .start()
)
try:
    if os.environ.get("LIVE_PROGRESS"):
        while query.isActive:
            query.awaitTermination(5)
            progress = query.lastProgress
            if progress:
                print(json.dumps(progress if isinstance(progress, dict) else progress.jsonValue), flush=True)
    query.awaitTermination()
finally:
    spark.stop()
