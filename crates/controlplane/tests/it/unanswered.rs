//! Answers of the store that are lost: PostgreSQL does what it is asked, and the connection breaks before it can say so.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use e2e::Postgres;
use proto::v1::JobStatus::Processing;
use reqwest::{Method, StatusCode};
use rstest::rstest;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, tcp::OwnedReadHalf, tcp::OwnedWriteHalf},
    time::timeout,
};

use crate::{
    plane::{Plane, good_job, statuses, until},
    stub::{PATIENCE, Stub},
};

/// A way to a PostgreSQL server that loses one answer.
struct Lossy {
    address: SocketAddr,
    /// How many answers still pass; negative once one was lost.
    left: Arc<AtomicI64>,
}

impl Lossy {
    /// A way that loses nothing yet.
    async fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let (address, left) = (listener.local_addr().expect("bound"), Arc::new(AtomicI64::new(i64::MAX)));
        tokio::spawn(accept(listener, server, Arc::clone(&left)));
        Self { address, left }
    }

    /// Loses the answer that comes after `number` others from now on.
    fn lose(&self, number: i64) {
        self.left.store(number, Ordering::SeqCst);
    }

    fn has_lost(&self) -> bool {
        self.left.load(Ordering::SeqCst) < 0
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, left: Arc<AtomicI64>) {
    while let Ok((client, _)) = listener.accept().await {
        let server = TcpStream::connect(server).await.expect("the server listens");
        let (from_client, to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        let left = Arc::clone(&left);
        tokio::spawn(async move {
            let mut from_client = from_client;
            tokio::select! {
                _ = tokio::io::copy(&mut from_client, &mut to_server) => {}
                () = answers(&mut from_server, to_client, &left) => {}
            }
        });
    }
}

/// Passes answers on, message by message (PostgreSQL's protocol, version 3), until the one that is to be lost.
async fn answers(server: &mut OwnedReadHalf, mut client: OwnedWriteHalf, left: &AtomicI64) {
    let mut answer = Vec::new();
    loop {
        let mut head = [0; 5];
        if server.read_exact(&mut head).await.is_err() {
            return;
        }
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
        let mut body = vec![0; usize::try_from(length).expect("fits") - 4];
        if server.read_exact(&mut body).await.is_err() {
            return;
        }
        answer.extend_from_slice(&head);
        answer.extend_from_slice(&body);
        // Ready for the next query, outside a transaction: what was asked is done.
        let is_done = head[0] == b'Z' && body == b"I";
        if is_done && left.fetch_sub(1, Ordering::SeqCst) == 0 {
            return;
        }
        // Notices and notifications come by themselves.
        if (head[0] == b'Z' || head[0] == b'A' || head[0] == b'N' || head[0] == b'R')
            && client.write_all(&std::mem::take(&mut answer)).await.is_err()
        {
            return;
        }
    }
}

/// Posts a job until it is accepted, as a careful client does.
async fn accepted(plane: &Plane) -> String {
    loop {
        let request = plane.request(Method::POST, "/api/v1/jobs").header("Idempotency-Key", "one").json(&good_job());
        let response = request.send().await.expect("an answer");
        let status = response.status();
        let body: serde_json::Value = response.json().await.expect("a JSON body");
        match status {
            StatusCode::ACCEPTED => return body["job_id"].as_str().expect("an id").to_owned(),
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::CONFLICT => tokio::task::yield_now().await,
            other => panic!("{other}: {body}"),
        }
    }
}

/// Each number loses another answer on the way from the request to the end of the job.
#[rstest]
#[tokio::test]
async fn a_lost_answer_neither_loses_a_job_nor_runs_it_twice(
    #[values(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14)] number: i64,
    #[values(0, 10)] queue: u64,
) {
    let (postgres, mut worker) = (Postgres::shared().await, Stub::with_leases(1).await);
    let lossy = Lossy::before(postgres.address()).await;
    let url = postgres.database().replace(&postgres.address().to_string(), &lossy.address.to_string());
    // The answer to a request for TLS is no message.
    let url = format!("{url}?sslmode=disable");
    let database = controlplane::store::Database::parse(&url, std::path::Path::new("")).expect("a database");
    let plane = Plane::start(&[worker.address], |config| {
        config.database = database;
        config.max_queued_jobs = queue;
        config.job_max_attempts = 3;
    })
    .await;
    timeout(PATIENCE, until(async || plane.get("/health").await.0 == StatusCode::OK)).await.expect("it is ready");
    lossy.lose(number);
    let id = timeout(PATIENCE, accepted(&plane)).await.expect("accepted in time");
    let job = worker.job().await;
    job.say(Processing, 10.0, "encoding");
    // Upkeep alone brings the answers to that number in time.
    timeout(PATIENCE, until(async || lossy.has_lost())).await.expect("an answer is lost");
    job.complete();
    let all = timeout(PATIENCE, plane.events(&id).await.rest()).await.expect("it ends in time");
    assert_eq!(statuses(&all), ["JOB_STATUS_QUEUED", "JOB_STATUS_PROCESSING", "JOB_STATUS_COMPLETED"]);
    assert_eq!(worker.submissions(), 1, "one attempt");
}
