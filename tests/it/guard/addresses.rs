//! Hosts that inputs may not come from.

use std::{fs, net::Ipv6Addr};

use e2e::{Sandbox, clips, job};
use rstest::rstest;

use super::{failure, forbidden_site, outside_address, service};
use crate::site::{Answer, Site};

#[tokio::test]
async fn every_spelling_of_this_machine_is_refused_and_nothing_connects() {
    let sandbox = Sandbox::new();
    let (_worker, plane) = service(&sandbox).await;
    let site = Site::at(Ipv6Addr::UNSPECIFIED.into(), |_| Answer::Status(200)).await;
    let port = site.address().port();
    for host in [
        "127.0.0.1",
        "127.1",
        "127.255.255.254",
        "localhost",
        "[::1]",
        "0.0.0.0",
        "[::]",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "user:password@127.0.0.1",
    ] {
        for scheme in ["http", "https"] {
            let url = format!("{scheme}://{host}:{port}/a.mp4");
            let error = failure(&plane, &sandbox, &url).await;
            assert!(error.contains("is a loopback address, which inputs may not use"), "{url}: {error}");
            assert!(!error.contains("password"), "{error}");
        }
    }
    assert_eq!(site.connections(), 0);
}

#[rstest]
#[case::metadata_service("169.254.169.254", "a link-local address")]
#[case::metadata_as_a_number("2852039166", "a link-local address")]
#[case::metadata_over_v6("[::ffff:169.254.169.254]", "a link-local address")]
#[case::link_local_v6("[fe80::1]", "a link-local address")]
#[case::metadata_elsewhere("[fd00:ec2::254]", "a cloud metadata address")]
#[case::multicast("224.0.0.1", "not the address of a host")]
#[tokio::test]
async fn what_is_never_open_is_refused_where_loopback_is_open(#[case] host: &str, #[case] why: &str) {
    let sandbox = Sandbox::new();
    let worker = sandbox.worker().env("INPUT_ALLOW_LOOPBACK", "true").start().await;
    let plane = sandbox.plane(&[worker.address()]).start().await;
    let error = failure(&plane, &sandbox, &format!("http://{host}/latest/meta-data/")).await;
    assert!(error.contains(why), "{error}");
}

#[rstest]
#[case::at_once(1)]
#[case::later(3)]
#[tokio::test]
async fn a_redirect_to_this_machine_is_refused(#[case] hops: usize) {
    let sandbox = Sandbox::new();
    let (_worker, plane) = service(&sandbox).await;
    let target = forbidden_site().await;
    let secret = format!("http://127.0.0.1:{}/secret.mp4", target.address().port());
    let site = Site::at(outside_address(), move |path| {
        let hop: usize = path.trim_start_matches('/').parse().unwrap_or_default();
        Answer::Redirect(if hop + 1 < hops { format!("/{}", hop + 1) } else { secret.clone() })
    })
    .await;
    let error = failure(&plane, &sandbox, &site.url("/0")).await;
    assert!(error.contains("127.0.0.1 is a loopback address"), "{error}");
    assert_eq!((site.connections() > 0, target.connections()), (true, 0));
}

/// Serves this playlist, and a good segment beside it, from an address that is allowed.
async fn playlist_site(playlist: String) -> Site {
    let args = "-f lavfi -i testsrc2=s=160x90:r=25:d=1 -c:v libx264 -preset ultrafast -pix_fmt yuv420p";
    let clip = clips::made("segment.ts", &args.split(' ').collect::<Vec<_>>());
    let segment = fs::read(clip).expect("a clip");
    Site::at(outside_address(), move |path| match path {
        "/good.ts" => Answer::Content(segment.clone()),
        _ => Answer::Content(playlist.clone().into_bytes()),
    })
    .await
}

fn media(lines: &str) -> String {
    format!("#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:1\n{lines}\n#EXT-X-ENDLIST\n")
}

#[rstest]
#[case::only_segment("#EXTINF:1,\nhttp://HERE/a.ts")]
#[case::second_segment("#EXTINF:1,\ngood.ts\n#EXTINF:1,\nhttp://HERE/a.ts")]
#[case::key("#EXT-X-KEY:METHOD=AES-128,URI=\"http://HERE/key\"\n#EXTINF:1,\ngood.ts")]
#[case::map("#EXT-X-MAP:URI=\"http://HERE/init\"\n#EXTINF:1,\ngood.ts")]
#[case::variant("#EXT-X-STREAM-INF:BANDWIDTH=1\nhttp://HERE/a.m3u8")]
#[case::alternative(
    "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"a\",DEFAULT=YES,URI=\"http://HERE/a.m3u8\"\n\
    #EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO=\"a\"\nhttp://HERE/b.m3u8"
)]
#[tokio::test]
async fn a_playlist_that_points_to_this_machine_is_refused(#[case] lines: &str) {
    let sandbox = Sandbox::new();
    let (_worker, plane) = service(&sandbox).await;
    let target = forbidden_site().await;
    let here = format!("127.0.0.1:{}", target.address().port());
    let site = playlist_site(media(&lines.replace("HERE", &here))).await;
    let error = failure(&plane, &sandbox, &site.url("/a.m3u8")).await;
    assert!(error.contains("127.0.0.1 is a loopback address"), "{error}");
    assert_eq!(target.connections(), 0);
}

#[tokio::test]
async fn a_playlist_may_not_use_other_protocols() {
    let sandbox = Sandbox::new();
    let (_worker, plane) = service(&sandbox).await;
    let target = forbidden_site().await;
    let port = target.address().port();
    let secret = sandbox.path().join("secret.ts");
    fs::copy(clips::short(), &secret).expect("a copy");
    let secret = secret.display();
    for url in [
        format!("file://{secret}"),
        format!("{secret}"),
        format!("subfile,,start,0,end,0,,:{secret}"),
        format!("concat:{secret}|{secret}"),
        format!("concat:http://127.0.0.1:{port}/a|http://127.0.0.1:{port}/b"),
        format!("async:file:{secret}"),
        format!("cache:file:{secret}"),
        format!("crypto+file:{secret}"),
        format!("tcp://127.0.0.1:{port}"),
        format!("tls://127.0.0.1:{port}"),
        format!("gopher://127.0.0.1:{port}/a"),
        format!("ftp://127.0.0.1:{port}/a"),
        format!("rtmp://127.0.0.1:{port}/a"),
        format!("rtsp://127.0.0.1:{port}/a"),
        format!("httpproxy://127.0.0.1:{port}/a"),
        format!("crypto+http://127.0.0.1:{port}/a"),
        format!("ffrtmphttp://127.0.0.1:{port}/a"),
        format!("unix:{secret}"),
        "pipe:0".to_owned(),
        "data:video/mp2t;base64,R0A=".to_owned(),
    ] {
        let site = playlist_site(media(&format!("#EXTINF:1,\n{url}"))).await;
        let error = failure(&plane, &sandbox, &site.url("/a.m3u8")).await;
        assert!(error.starts_with("encoding failed: input_url: "), "{url}: {error}");
        assert!(!error.contains("secret.ts"), "{url}: {error}");
    }
    assert_eq!(target.connections(), 0);
}

#[rstest]
#[case::http("http_proxy", "http")]
#[case::https("https_proxy", "https")]
#[case::all("all_proxy", "http")]
#[tokio::test]
async fn proxy_settings_do_not_lead_around_the_rules(#[case] variable: &str, #[case] scheme: &str) {
    let sandbox = Sandbox::new();
    let proxy = forbidden_site().await;
    let address = format!("http://127.0.0.1:{}", proxy.address().port());
    let worker = sandbox.worker().env(variable, &address).env(&variable.to_uppercase(), &address);
    let worker = worker.env("no_proxy", "*").env("NO_PROXY", "*").start().await;
    let plane = sandbox.plane(&[worker.address()]).start().await;
    let url = format!("{scheme}://127.0.0.1:{}/a.mp4", proxy.address().port());
    let error = failure(&plane, &sandbox, &url).await;
    assert!(error.contains("127.0.0.1 is a loopback address"), "{error}");
    assert_eq!(proxy.connections(), 0);
}

#[tokio::test]
async fn another_host_is_allowed() {
    let sandbox = Sandbox::new();
    let (_worker, plane) = service(&sandbox).await;
    let clip = fs::read(clips::short()).expect("a clip");
    let site = Site::at(outside_address(), move |_| Answer::Content(clip.clone())).await;
    plane.completed(&job(&site.url("/a.mp4"), "480p_h264", "local", "a.mp4")).await;
    assert!(site.connections() > 0);
}
