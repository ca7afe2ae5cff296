//! DuckDB reads the output of a cluster from a bucket.

use std::process::Command;

use crate::bucket::{environment_of_store, python_with_moto, start_store};
use crate::processes::{TestCluster, assert_exit, command, free_port, run};
use crate::{arguments, assert_success, write_difficult_inputs};

/// A Python script. It reads every table of the bucket with DuckDB, as CSV and as Parquet. It compares the rows
/// with those in a folder, which it reads without DuckDB. Timestamps in Parquet are compared to the second.
///
/// The arguments are the address of the store, and the folder. DuckDB's own extension for S3 is not on PyPI, so
/// DuckDB reads through pyarrow.
const DUCKDB_READS: &str = r#"
import csv, datetime, pathlib, sys
import duckdb
from fsspec.implementations.arrow import ArrowFSWrapper
from pyarrow.fs import S3FileSystem

store = S3FileSystem(access_key='test', secret_key='test', region='us-east-1', scheme='http',
                     endpoint_override=sys.argv[1])
db = duckdb.connect()
db.register_filesystem(ArrowFSWrapper(store))
seconds = lambda text: int(datetime.datetime.fromisoformat(text).timestamp() // 1)
parts = 0
for table in sorted(pathlib.Path(sys.argv[2]).iterdir()):
    name = table.name
    if not table.is_dir() or name.startswith('_') or name in ('parquet', 'periods'):
        continue
    expected = []
    for part in sorted(table.glob('*.csv')):
        with open(part, newline='', encoding='utf-8') as file:
            header, *rows = csv.reader(file)
        expected += rows
        parts += 1
    columns = {column: 'VARCHAR' for column in header}
    found = db.sql(f"""select coalesce(columns(*), '')
        from read_csv('s3://music/out/{name}/*.csv', header = true, auto_detect = false, delim = ',', quote = '"',
                      escape = '"', columns = {columns})""").fetchall()
    assert found == list(map(tuple, expected)), (name, found[:3], expected[:3])

    parquet = f"from 's3://music/out/parquet/{name}/*.parquet'"
    if header == ['message']:
        assert db.sql(parquet).fetchall() == [], name
        continue
    kinds = {column: kind for column, kind, *_ in db.sql(f'describe {parquet}').fetchall()}
    assert list(kinds) == header, (name, kinds)
    for number, (column, kind) in enumerate(kinds.items()):
        value, read = f'"{column}"', str
        if kind.startswith('TIMESTAMP'):
            value, read = f'epoch_us("{column}") // 1000000', seconds
        elif kind in ('BIGINT', 'DOUBLE'):
            read = float
        values = [row[0] for row in db.sql(f'select {value} {parquet}').fetchall()]
        texts = [row[number] for row in expected]
        assert values == list(map(read, texts)), (name, column, kind, values[:3], texts[:3])
    print(name, len(found))
assert parts > 7, parts
"#;

#[test]
fn duckdb_reads_the_output_in_a_bucket() {
    let Some(python) = python_with_moto() else { return };
    if !has_duckdb(&python) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    write_difficult_inputs(folder.path());
    let port = free_port();
    let endpoint = format!("http://127.0.0.1:{port}");
    let environment = environment_of_store(&endpoint);
    let Some(cluster) = TestCluster::start(1, &environment) else { return };
    let _server = start_store(&python, folder.path(), port);
    let create = "import sys, boto3\n\
        boto3.client('s3', endpoint_url=sys.argv[1]).create_bucket(Bucket='music')";
    let run_python = |script: &str, arguments: &[&str]| {
        let mut command = Command::new(&python);
        command.args(["-c", script]).args(arguments).current_dir(folder.path());
        let environment = environment.iter().map(|(name, value)| (name, value));
        assert_exit(&command.envs(environment).output().unwrap(), 0)
    };
    run_python(create, &[&endpoint]);

    let settings = ["--format", "csv,parquet", "--set", "insights.enriched_logs.roll_bytes=16KiB"];
    assert_exit(&run(folder.path(), &arguments("expected", &settings)), 0);
    let flags = [&settings[..], &["--cluster", &cluster.address]].concat();
    let mut replay = command(folder.path(), &arguments("s3://music/out", &flags));
    let output = replay.envs(environment.iter().map(|(name, value)| (name, value))).output().unwrap();
    assert_success(&output, &cluster, "an output in a bucket");
    let (out, _) = run_python(DUCKDB_READS, &[&format!("127.0.0.1:{port}"), "expected"]);
    assert!(out.contains("enriched_logs"), "{out}");
}

/// Whether a Python can read a bucket with DuckDB.
fn has_duckdb(python: &str) -> bool {
    let found = Command::new(python).args(["-c", "import duckdb, fsspec, pyarrow"]).output();
    let found = found.is_ok_and(|found| found.status.success());
    if !found {
        assert!(std::env::var_os("CI").is_none(), "{python} has no DuckDB; CI must install it");
        eprintln!("skipped: {python} cannot read a bucket; run `pip install duckdb pyarrow fsspec`");
    }
    found
}
