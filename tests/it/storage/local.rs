//! Results in a folder.

use std::fs;

use e2e::{Plane, Sandbox, Worker, clips, job};
use url::Url;

async fn local(sandbox: &Sandbox) -> (Worker, Plane) {
    let worker = sandbox.worker().start().await;
    let plane = sandbox.plane(&[worker.address()]).start().await;
    (worker, plane)
}

#[tokio::test]
async fn the_url_of_a_file_leads_to_it() {
    let sandbox = Sandbox::new();
    let (_worker, plane) = local(&sandbox).await;
    let key = "映画 2026/Ünï code+&?#%41.mp4";
    let url = plane.completed(&job(&sandbox.input(&clips::flash()), "480p_h264", "local", key)).await;
    let path = Url::parse(&url).expect("a URL").to_file_path().expect("a path");
    assert_eq!(path, sandbox.output_dir().join(key), "{url}");
    assert!(path.metadata().is_ok_and(|file| file.len() > 0));
    assert_eq!(sandbox.outputs(), [key]);
}

#[tokio::test]
async fn the_url_of_a_ladder_leads_to_its_master() {
    let sandbox = Sandbox::new();
    let (_worker, plane) = local(&sandbox).await;
    let request = job(&sandbox.input(&clips::short()), "hls_720p_abr_video_only", "local", "a show/1");
    let url = plane.completed(&request).await;
    let path = Url::parse(&url).expect("a URL").to_file_path().expect("a path");
    assert_eq!(path, sandbox.output_dir().join("a show/1/master.m3u8"));
    let master = fs::read_to_string(&path).expect("a playlist");
    let variants: Vec<_> = master.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    assert_eq!(variants.len(), 3, "{master}");
    for variant in variants {
        assert!(path.with_file_name(variant).is_file(), "{variant}");
    }
    sandbox.clean().await;
}

#[tokio::test]
async fn a_newer_result_replaces_an_older_one_whole() {
    let sandbox = Sandbox::new();
    let (_worker, plane) = local(&sandbox).await;
    for clip in [clips::flash(), clips::short()] {
        plane.completed(&job(&sandbox.input(&clip), "480p_h264", "local", "video.mp4")).await;
        plane.completed(&job(&sandbox.input(&clip), "hls_720p_video_only", "local", "show")).await;
    }
    let outputs = sandbox.outputs();
    assert_eq!(outputs.len(), 3, "one file, one playlist, one segment: {outputs:?}");
    sandbox.clean().await;
}

#[tokio::test]
async fn something_in_the_way_of_a_result_is_named_and_stays() {
    let sandbox = Sandbox::new();
    let (_worker, plane) = local(&sandbox).await;
    fs::write(sandbox.output_dir().join("taken"), "precious").expect("a file");
    fs::create_dir(sandbox.output_dir().join("folder")).expect("a folder");
    let input = sandbox.input(&clips::flash());
    for path in ["taken/video.mp4", "folder"] {
        let error = plane.failed(&job(&input, "480p_h264", "local", path)).await;
        assert!(error.contains("output.path: "), "{error}");
    }
    assert_eq!(fs::read_to_string(sandbox.output_dir().join("taken")).expect("it stays"), "precious");
    assert_eq!(sandbox.outputs(), ["folder", "taken"]);
    sandbox.clean().await;
}
