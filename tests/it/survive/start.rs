//! Stores that cannot be used: the control plane says why, and what to do.

use std::fs;

use e2e::Sandbox;
use rstest::rstest;

async fn refused(sandbox: &Sandbox, settings: &[(&str, String)]) -> String {
    let worker = "127.0.0.1:9".parse().expect("an address");
    let plane = settings.iter().fold(sandbox.plane(&[worker]), |plane, (name, value)| plane.env(name, value));
    let (launch, _port) = plane.launch();
    assert_eq!(launch.run().await.code(), Some(1));
    launch.output()
}

#[rstest]
#[case::unknown_scheme("mysql://u:hush@h/d", "DATABASE_URL")]
#[case::nobody_there("postgres://u:hush@127.0.0.1:9/d", "cannot use postgres://127.0.0.1:9/d")]
#[tokio::test]
async fn a_wrong_database_url_is_explained_without_its_password(#[case] url: &str, #[case] text: &str) {
    let sandbox = Sandbox::new();
    let said = refused(&sandbox, &[("DATABASE_URL", url.to_owned())]).await;
    assert!(said.contains(text) && said.contains("DATABASE_URL") && !said.contains("hush"), "{said}");
}

#[tokio::test]
async fn a_file_where_the_folder_should_be_is_named() {
    let sandbox = Sandbox::new();
    let file = sandbox.path().join("file");
    fs::write(&file, "").expect("a file");
    let said = refused(&sandbox, &[("DATA_DIR", file.display().to_string())]).await;
    assert!(said.contains("DATA_DIR") && said.contains(&file.display().to_string()), "{said}");
}

#[tokio::test]
async fn a_second_control_plane_on_one_file_is_refused() {
    let sandbox = Sandbox::new();
    let data = sandbox.path().join("data").display().to_string();
    let worker = "127.0.0.1:9".parse().expect("an address");
    let _plane = sandbox.plane(&[worker]).env("DATA_DIR", &data).start().await;
    let said = refused(&sandbox, &[("DATA_DIR", data)]).await;
    assert!(said.contains("another control plane uses"), "{said}");
}
