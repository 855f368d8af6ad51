//! The binaries' settings: read from the environment, refused together, described by `--help`.

use std::{
    os::unix::net::UnixListener,
    process::{Command, Output},
};

use e2e::{Launch, Port, Sandbox, binary};
use insta::assert_snapshot;
use service::env::Setting;
use tokio::net::TcpListener;

fn ask(name: &str, argument: &str) -> Output {
    Command::new(binary::path(name)).arg(argument).env_clear().output().expect("the binary starts")
}

/// Runs a binary that must refuse its settings; tells what it printed.
async fn refused(launch: &Launch, port: &Port) -> String {
    let status = launch.run().await;
    let output = launch.output();
    assert_eq!(status.code(), Some(1), "{output}");
    assert!(!output.contains("is ready"), "{output}");
    // A port that was bound for a moment would not show in any other way.
    assert!(TcpListener::bind(port.address()).await.is_ok(), "the port is in use");
    output
}

#[tokio::test]
async fn a_worker_names_every_mistake_at_once() {
    let sandbox = Sandbox::new();
    let wrong = [
        ("MAX_CONCURRENT_JOBS", "0"),
        ("STORAGE_TYPE", "ftp"),
        ("VALIDATION_LEVEL", "lax"),
        ("VALIDATION_TIMEOUT", "soon"),
        ("FFMPEG_PATH", "no-such-ffmpeg"),
        ("FFPROBE_PATH", "no-such-ffprobe"),
        ("DISABLE_AUTO_SHUTDOWN", "maybe"),
        ("LOG_LEVEL", "a=b=c"),
    ];
    let builder = wrong.iter().fold(sandbox.worker(), |builder, (name, value)| builder.env(name, *value));
    let (launch, port) = builder.launch();
    let output = refused(&launch, &port).await;
    for (name, _) in wrong {
        assert!(output.contains(&format!("\n  {name}: ")), "{name} is not in {output}");
    }
}

#[tokio::test]
async fn a_control_plane_names_every_mistake_at_once() {
    let sandbox = Sandbox::new();
    let (launch, port) = sandbox.plane(&[]).env("WORKER_STARTUP_TIMEOUT", "-1").env("LOG_FORMAT", "xml").launch();
    let output = refused(&launch, &port).await;
    for name in ["WORKER_NODES", "WORKER_STARTUP_TIMEOUT", "LOG_FORMAT"] {
        assert!(output.contains(&format!("\n  {name}: ")), "{name} is not in {output}");
    }
}

#[tokio::test]
async fn a_worker_needs_the_storage_it_is_told_to_have() {
    let sandbox = Sandbox::new();
    for (kind, missing) in [("s3", "S3_BUCKET"), ("local", "LOCAL_STORAGE_DIR")] {
        let (launch, port) = sandbox.worker().env("STORAGE_TYPE", kind).without("LOCAL_STORAGE_DIR").launch();
        let output = refused(&launch, &port).await;
        assert!(output.contains(&format!("{missing}: must be set when STORAGE_TYPE is {kind}")), "{output}");
    }
}

#[tokio::test]
async fn folders_that_cannot_be_used_are_named() {
    let sandbox = Sandbox::new();
    let file = sandbox.path().join("file");
    let _socket = UnixListener::bind(&file).expect("something that is no folder");
    for name in ["WORK_DIR", "LOCAL_STORAGE_DIR"] {
        // Not even root can make a folder in /proc.
        for folder in [file.clone(), file.join("below"), "/proc/file".into()] {
            let (launch, port) = sandbox.worker().env(name, &folder.display()).launch();
            let output = refused(&launch, &port).await;
            assert!(output.contains(name) && output.contains("file"), "{output}");
        }
    }
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let sandbox = Sandbox::new();
    let (worker, held) = sandbox.worker().launch();
    let (plane, _) = sandbox.plane(&[held.address()]).env("PORT", &held.address().port()).launch();
    let _taken = TcpListener::bind(("0.0.0.0", held.address().port())).await.expect("a free port");
    for launch in [worker, plane] {
        let status = launch.run().await;
        assert_eq!(status.code(), Some(1));
        let complaint = format!("cannot listen on port {}", held.address().port());
        assert!(launch.output().contains(&complaint), "{}", launch.output());
    }
}

fn assert_described(help: &str, settings: &[Setting]) {
    for Setting { name, default, .. } in settings {
        let mut lines = help.lines().map(str::trim).filter(|line| line.split(' ').next() == Some(name));
        let line = lines.next().unwrap_or_else(|| panic!("{name} is not in {help}"));
        assert!(default.is_none_or(|default| line.ends_with(&format!("[default: {default}]"))), "{line}");
    }
}

#[test]
fn the_worker_describes_every_setting() {
    let output = ask("worker", "--help");
    assert!(output.status.success());
    let help = String::from_utf8(output.stdout).expect("UTF-8");
    assert_described(&help, worker::config::SETTINGS);
    assert_snapshot!(help);
}

#[test]
fn the_control_plane_describes_every_setting() {
    let output = ask("controlplane", "--help");
    assert!(output.status.success());
    let help = String::from_utf8(output.stdout).expect("UTF-8");
    assert_described(&help, controlplane::config::SETTINGS);
    assert_snapshot!(help);
}

#[test]
fn a_wrong_argument_is_no_start() {
    for name in ["worker", "controlplane"] {
        let output = ask(name, "--serve");
        assert!(!output.status.success());
        assert!(String::from_utf8_lossy(&output.stderr).contains("unexpected argument '--serve'"));
    }
}

#[tokio::test]
async fn the_health_check_tells_a_running_server_from_none() {
    let sandbox = Sandbox::new();
    let worker = sandbox.worker().start().await;
    let plane = sandbox.plane(&[worker.address()]).start().await;
    let nobody = Port::reserve();
    let running = [worker.address().port(), plane.address().port()];
    for (port, expected) in [(running, 0), ([nobody.address().port(); 2], 1)] {
        let (mut check, _) = sandbox.worker().env("GRPC_PORT", &port[0]).launch();
        check.args.push("healthcheck".to_owned());
        assert_eq!(check.run().await.code(), Some(expected), "{}", check.output());
        let (mut check, _) = sandbox.plane(&[worker.address()]).env("PORT", &port[1]).launch();
        check.args.push("healthcheck".to_owned());
        assert_eq!(check.run().await.code(), Some(expected), "{}", check.output());
    }
}
