//! Refusals that are lost, because the server closes the connection before it has read the object.

use super::{
    super::{Item, cause},
    server::SECRET,
    *,
};

/// Lengths of a file that is sent with its request's head, and of the largest that goes in one request.
const LENGTHS: [usize; 2] = [10, 8 * MIB];

const BEGIN: &str = "+POST /media/unheard?uploads";
const ABORT: &str = "+DELETE /media/unheard?";

/// Fails to publish a file of `length` where the server hears no PUT out, and says how.
async fn fail(case: &Case, secret: &str, length: usize) -> String {
    let storage = S3::new(case.server.client(secret), BUCKET);
    let file = Artifact::File(case.file("out.mp4", length));
    let started = Instant::now();
    let error = case.publish_to(&storage, &file, "unheard").await.expect_err("it fails");
    assert!(started.elapsed() < BOUND, "{:?}", started.elapsed());
    assert_eq!(error.blame(), Blame::Infrastructure);
    error.to_string()
}

fn asked(case: &Case, what: &str) -> bool {
    case.server.events().iter().any(|event| event.starts_with(what))
}

#[tokio::test]
async fn a_lost_refusal_is_asked_for_again() {
    for length in LENGTHS {
        let case = Case::new().await;
        let error = fail(&case, "wrong", length).await;
        let expected = "cannot upload s3://media/unheard: wrong credentials: SignatureDoesNotMatch";
        assert!(error.starts_with(expected), "{length}: {error}");
        assert!(!asked(&case, ABORT), "nothing was begun");
        case.assert_nothing_left();
    }
}

#[tokio::test]
async fn what_is_not_refused_is_aborted_and_the_first_error_told() {
    for length in LENGTHS {
        let case = Case::new().await;
        let error = fail(&case, SECRET, length).await;
        assert!(error.starts_with("cannot upload s3://media/unheard: client error (SendRequest)"), "{length}: {error}");
        assert!(asked(&case, BEGIN) && asked(&case, ABORT), "{:?}", case.server.events());
        case.assert_nothing_left();
    }
}

#[tokio::test]
async fn nothing_is_asked_after_a_cancellation() {
    let case = Case::with(Timing { grace: BOUND, ..patient() }).await;
    let (storage, source) = (case.server.storage(), case.file("out.mp4", 10));
    let destination = destination(&Artifact::File(source.clone()), "unheard");
    let publication = storage.begin(&destination, case.scratch.path());
    let item = Item { source, key: "unheard".into(), length: 10, media_type: "video/mp4", room: Room::Any };
    // The request itself has its grace.
    case.permit.token().cancel();
    let error = publication.put_small(&item, &case.permit).await.expect_err("it fails");
    assert!(error.to_string().contains("client error (SendRequest)"), "{error}");
    assert!(!asked(&case, BEGIN), "{:?}", case.server.events());
}

#[tokio::test]
async fn a_cancellation_ends_the_question() {
    let case = Case::with(Timing { answer: 2 * BOUND, clean_up: Duration::from_millis(200), ..patient() }).await;
    case.server.set(Network::Silent);
    let cancel = async {
        tokio::time::timeout(BOUND, case.server.saw(BEGIN)).await.expect("it asks");
        case.permit.token().cancel();
    };
    let (error, ()) = tokio::join!(fail(&case, "wrong", 10), cancel);
    assert!(error.contains("client error (SendRequest)"), "{error}");
}

#[tokio::test]
async fn only_what_had_a_connection_broke_off() {
    let case = Case::new().await;
    // Bound and dropped: nobody listens there.
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    let nobody = client(format!("http://{port}").parse().expect("a URL"), "secret", patient());
    let there = case.server.good_client();
    for (client, key, expected) in [(&there, "unheard", true), (&there, "forbidden", false), (&nobody, "out", false)] {
        let error = client.get().await.put_object().bucket(BUCKET).key(key).send().await.expect_err("it fails");
        assert_eq!(cause::broke_off(&error), expected, "{error:?}");
    }
}
