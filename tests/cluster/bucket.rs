//! Logs, tables, catalog and output in a bucket of an S3 server, behind a proxy that fails and delays.

use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::processes::{Process, TestCluster, assert_exit, command, free_port, run, wait_until};
use crate::{NOW, arguments, assert_same, assert_success, files_of, write_difficult_inputs};

#[test]
fn logs_tables_and_catalog_can_be_objects_in_a_bucket() {
    let Some(python) = python_with_moto() else { return };
    let port = free_port();
    let endpoint = format!("http://127.0.0.1:{port}");
    let unreliable = format!("http://127.0.0.1:{}", start_unreliable_proxy(port));
    let environment = environment_of_store(&unreliable);
    let Some(mut cluster) = TestCluster::start(0, &environment) else { return };
    let folder = tempfile::tempdir().unwrap();
    write_difficult_inputs(folder.path());
    let _server = start_store(&python, folder.path(), port);
    let upload = "import sys, pathlib, boto3\n\
        s3 = boto3.client('s3', endpoint_url=sys.argv[1])\n\
        s3.create_bucket(Bucket='music')\n\
        root = pathlib.Path(sys.argv[2])\n\
        for path in [root / 'songs.csv', *sorted((root / 'logs').iterdir())]:\n    \
            s3.upload_file(str(path), 'music', str(path.relative_to(root)))\n";
    let uploaded = Command::new(&python)
        .args(["-c", upload, &endpoint, folder.path().to_str().unwrap()])
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .output()
        .unwrap();
    assert!(uploaded.status.success(), "{}", String::from_utf8_lossy(&uploaded.stderr));
    cluster.add_executor(&environment);
    cluster.add_executor(&environment);

    assert_exit(&run(folder.path(), &arguments("expected", &[])), 0);
    let address = cluster.address.as_str();
    let replay = |logs: &str| {
        let arguments = [
            "replay",
            logs,
            "--songs",
            "s3://music/songs.csv",
            "--tables",
            "s3://music/tables",
            "--now",
            NOW,
            "--output",
            "found",
            "--cluster",
            address,
        ];
        let mut command = command(folder.path(), &arguments);
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        command.output().unwrap()
    };
    let output = replay("s3://music/logs/");
    assert_success(&output, &cluster, "objects");
    // Only the paths in `_rejects` and in the manifest differ.
    let mut expected = files_of(&folder.path().join("expected"));
    let mut found = files_of(&folder.path().join("found"));
    let rejects = "_rejects/part-00000.csv";
    let text = String::from_utf8(expected[rejects].clone()).unwrap();
    let text = text.replace("\nlogs/", "\ns3://music/logs/").replace("\nsongs.csv", "\ns3://music/songs.csv");
    expected.insert(rejects.to_owned(), text.into_bytes());
    let [manifest, of_objects] = [&mut expected, &mut found].map(|files| {
        serde_json::from_str::<serde_json::Value>(
            std::str::from_utf8(&files.remove("_manifest.json").unwrap()).unwrap(),
        )
        .unwrap()
    });
    assert_eq!(manifest["totals"], of_objects["totals"]);
    assert_eq!(manifest["insights"], of_objects["insights"]);
    for (name, bytes) in &expected {
        assert_eq!(String::from_utf8_lossy(bytes), String::from_utf8_lossy(&found[name]), "{name}");
    }
    let (out, _) = assert_exit(&replay("s3://music/logs/"), 0);
    assert!(out.contains("read      0 rows "), "{out}");
    // Read the objects that match a pattern, then a single object.
    assert_exit(&replay("s3://music/logs/ties*.csv"), 0);
    assert_exit(&replay("s3://music/logs/a.csv"), 0);
    let (_, error) = assert_exit(&replay("s3://music/nothing/"), 66);
    assert!(error.contains("s3://music/nothing/"), "{error}");
    outputs_in_a_bucket(&cluster, folder.path(), &environment, (&python, &endpoint));
}

/// Compares outputs in a bucket with outputs in a folder. The bucket is part of the name of the test above, because the
/// store takes long to start.
fn outputs_in_a_bucket(
    cluster: &TestCluster,
    folder: &Path,
    environment: &[(&str, String)],
    (python, endpoint): (&str, &str),
) {
    let settings = ["--set", "insights.enriched_logs.roll_bytes=16KiB", "--set", "periods.year=all"];
    let on_cluster = |output: &str| {
        let flags = [&settings[..], &["--cluster", &cluster.address]].concat();
        let mut command = command(folder, &arguments(output, &flags));
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        command
    };
    let assert_same_as_in_a_folder = |context: &str| {
        assert_exit(&run(folder, &arguments("expected", &settings)), 0);
        let download = "import sys, pathlib, boto3\n\
            s3 = boto3.client('s3', endpoint_url=sys.argv[1])\n\
            root = pathlib.Path(sys.argv[2])\n\
            for page in s3.get_paginator('list_objects_v2').paginate(Bucket='music', Prefix='out/'):\n    \
                for found in page.get('Contents', []):\n        \
                    path = root / found['Key'].removeprefix('out/')\n        \
                    path.parent.mkdir(parents=True, exist_ok=True)\n        \
                    s3.download_file('music', found['Key'], str(path))\n";
        let found = folder.join("found-in-bucket");
        let _ = fs::remove_dir_all(&found);
        let downloaded = Command::new(python)
            .args(["-c", download, endpoint, found.to_str().unwrap()])
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .output()
            .unwrap();
        assert!(downloaded.status.success(), "{}", String::from_utf8_lossy(&downloaded.stderr));
        assert_same(folder, "expected", "found-in-bucket", context);
    };
    assert_success(&on_cluster("s3://music/out").output().unwrap(), cluster, "an output in a bucket");
    assert_same_as_in_a_folder("an output in a bucket");
    let text = "user_id,song_id,timestamp,duration_sec\nu3,s7,2025-04-01 01:00:00,5\n";
    fs::write(folder.join("logs/zz.csv"), text).unwrap();
    // A killed client leaves the lock behind. The next one takes it over, because it is not renewed.
    let killed = on_cluster("s3://music/out").env("CRASH_AT", "publish.snapshot:2").output().unwrap();
    assert_eq!(killed.status.code(), None);
    let second = on_cluster("s3://music/out").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert_success(&second.wait_with_output().unwrap(), cluster, "after a killed client");
    assert_same_as_in_a_folder("after a killed client");
    let flags = [
        &["verify", "logs", "--songs", "songs.csv", "--now", NOW, "--output", "s3://music/out"],
        &settings[..],
    ];
    let flags = [flags.concat(), vec!["--cluster", &cluster.address]].concat();
    let mut verify = command(folder, &flags);
    verify.envs(environment.iter().map(|(name, value)| (name, value)));
    let verified = verify.output().unwrap();
    assert_success(&verified, cluster, "verify");
    assert!(String::from_utf8_lossy(&verified.stdout).contains("verified      enriched_logs: "));
    assert_same_as_in_a_folder("verify changes nothing");
    large_objects_are_read_in_ranges(cluster, folder, environment, (python, endpoint));
    a_denied_bucket_names_the_way_out(folder, environment);
    // Without a cluster, an output cannot be in a bucket.
    let (_, error) = assert_exit(&run(folder, &arguments("s3://music/out", &[])), 64);
    assert!(error.contains("--cluster"), "{error}");
}

/// An S3 server on a port of this machine.
pub(crate) fn start_store(python: &str, folder: &Path, port: u16) -> Process {
    let log = fs::File::create(folder.join("moto.log")).unwrap();
    let server = Command::new(python)
        .args(["-m", "moto.server", "-p", &port.to_string()])
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn();
    let mut server = Process(server.unwrap());
    wait_until("the object store answers", || {
        server.is_running() && TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    server
}

/// The environment of programs that use a store without TLS.
pub(crate) fn environment_of_store(endpoint: &str) -> Vec<(&'static str, String)> {
    [
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_ALLOW_HTTP", "true"),
    ]
    .map(|(name, value)| (name, value.to_owned()))
    .to_vec()
}

/// A large object is cut into ranges. Each executor requests only the bytes of its range.
fn large_objects_are_read_in_ranges(
    cluster: &TestCluster,
    folder: &Path,
    environment: &[(&str, String)],
    (python, endpoint): (&str, &str),
) {
    let log = folder.join("large.csv");
    let mut text = String::from("user_id,song_id,timestamp,duration_sec\n");
    for row in 0.. {
        if text.len() > 50 << 20 {
            break;
        }
        let (user, song, second) = (row % 997, row % 31, row % 60);
        // Long ids make a large log with few rows.
        writeln!(text, "{user:0200},s{song},2025-03-0{} 12:00:{second:02},{second}", row % 9 + 1).unwrap();
    }
    fs::write(&log, text).unwrap();
    let upload = "import sys, boto3\n\
        boto3.client('s3', endpoint_url=sys.argv[1]).upload_file(sys.argv[2], 'music', 'large/large.csv')\n";
    let uploaded = Command::new(python)
        .args(["-c", upload, endpoint, log.to_str().unwrap()])
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .output()
        .unwrap();
    assert!(uploaded.status.success(), "{}", String::from_utf8_lossy(&uploaded.stderr));
    let common = ["--songs", "songs.csv", "--now", NOW, "--output"];
    assert_exit(&run(folder, &[&["replay", "large.csv"], &common[..], &["expected-large"]].concat()), 0);
    let flags = [&["replay", "s3://music/large/large.csv"], &common[..], &["found-large"]].concat();
    let mut replay = command(folder, &[&flags[..], &["--cluster", &cluster.address]].concat());
    replay.envs(environment.iter().map(|(name, value)| (name, value)));
    assert_success(&replay.output().unwrap(), cluster, "a large object");
    assert_same(folder, "expected-large", "found-large", "a large object");
    let index = fs::read_to_string(folder.join("found-large/_tables/index.json")).unwrap();
    let index: serde_json::Value = serde_json::from_str(&index).unwrap();
    assert!(index["sums"].as_array().unwrap().len() >= 2, "the object was not cut: {index}");
}

/// A store that denies all access, first to the client, then only to the executor.
fn a_denied_bucket_names_the_way_out(folder: &Path, environment: &[(&str, String)]) {
    let store = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", store.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in store.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let body = "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>";
            let head = format!(
                "HTTP/1.1 403 Forbidden\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all(format!("{head}{body}").as_bytes());
        }
    });
    let denied: Vec<(&str, String)> = environment
        .iter()
        .map(|(name, value)| {
            (*name, if *name == "AWS_ENDPOINT_URL" { endpoint.clone() } else { value.clone() })
        })
        .collect();
    let Some(cluster) = TestCluster::start(1, &denied) else { return };
    for (environment, output, at) in [
        (&denied[..], "s3://music/denied", "s3://music/denied/.lock"),
        (environment, "denied", "s3://music/logs/a.csv"),
    ] {
        let logs = if output == "denied" { "s3://music/logs/a.csv" } else { "logs" };
        let flags =
            ["replay", logs, "--songs", "songs.csv", "--output", output, "--cluster", &cluster.address];
        let mut replay = command(folder, &flags);
        replay.envs(environment.iter().map(|(name, value)| (name, value)));
        let (_, error) = assert_exit(&replay.output().unwrap(), 78);
        for words in [at, "denies access", "AWS_ACCESS_KEY_ID"] {
            assert!(error.contains(words), "{words}: {error}");
        }
    }
    assert!(!folder.join("denied/_manifest.json").exists());
    let flags = [
        "replay",
        "logs",
        "--songs",
        "songs.csv",
        "--output",
        "s3://music/out",
        "--cluster",
        &cluster.address,
    ];
    let mut replay = command(folder, &flags);
    replay
        .envs(denied.iter().filter(|(name, _)| *name != "AWS_ALLOW_HTTP").map(|(name, value)| (name, value)));
    let (_, error) = assert_exit(&replay.env_remove("AWS_ALLOW_HTTP").output().unwrap(), 78);
    assert!(error.contains("set AWS_ALLOW_HTTP=true"), "{error}");
}

/// A proxy in front of a store that fails and delays some of the connections. Returns its port.
fn start_unreliable_proxy(store: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for (number, client) in listener.incoming().flatten().enumerate() {
            std::thread::spawn(move || serve_unreliably(number, client, store));
        }
    });
    port
}

fn serve_unreliably(number: usize, mut client: TcpStream, store: u16) {
    if number % 12 == 1 {
        let mut request = [0; 1024];
        let _ = client.read(&mut request);
        let response = "HTTP/1.1 503 Slow Down\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        let _ = client.write_all(response.as_bytes());
        return;
    }
    if number % 15 == 2 {
        std::thread::sleep(std::time::Duration::from_millis(500));
    }
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", store)) else { return };
    let (mut from_client, mut to_client) = (client.try_clone().unwrap(), client);
    let mut to_server = server.try_clone().unwrap();
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from_client, &mut to_server);
        let _ = to_server.shutdown(std::net::Shutdown::Write);
    });
    let _ = std::io::copy(&mut server, &mut to_client);
    let _ = to_client.shutdown(std::net::Shutdown::Both);
}

/// A Python with an S3 server (moto) and an S3 client (boto3).
pub(crate) fn python_with_moto() -> Option<String> {
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let found = Command::new(&python).args(["-c", "import moto.server, boto3"]).output();
    if found.is_ok_and(|found| found.status.success()) {
        return Some(python);
    }
    assert!(std::env::var_os("CI").is_none(), "{python} has no moto; CI must install it");
    eprintln!("skipped: {python} has no moto; run `pip install 'moto[server]' boto3`");
    None
}
