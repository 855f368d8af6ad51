//! Callbacks against real receivers on loopback, whatever these do.

mod outbox;
mod receiver;

use rstest::rstest;
use standardwebhooks::Webhook;
use tokio::task::JoinHandle;
use uuid::Uuid;

use self::{
    outbox::Outbox,
    receiver::{Manners, Receiver},
};
use super::*;
use crate::{job::JobId, store::CallbackId, webhook::Secrets};

const PATIENCE: Duration = Duration::from_secs(20);

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn limits() -> Limits {
    let short = Duration::from_millis(5);
    let schedule = Schedule { steps: [short; 7], give_up: Duration::from_hours(24) };
    Limits { schedule, patience: PATIENCE, farewell: Duration::ZERO, ..Limits::default() }
}

fn callback(url: impl Into<String>) -> Callback {
    Callback {
        id: CallbackId(Uuid::new_v4()),
        job: JobId::random(),
        url: url.into(),
        payload: r#"{"type":"job.completed"}"#.to_owned(),
        created_at: Timestamp::now(),
        failures: 0,
    }
}

/// A deliverer at work. Dropping it stops it at once.
struct Running {
    lifecycle: Lifecycle,
    metrics: Metrics,
    task: JoinHandle<()>,
}

impl Running {
    fn over(outbox: &Arc<Outbox>) -> Self {
        Self::with(outbox, limits())
    }

    fn with(outbox: &Arc<Outbox>, limits: Limits) -> Self {
        let (lifecycle, metrics) = (Lifecycle::new(), Metrics::new());
        let config = Config { secrets: Secrets::parse(SECRET).ok(), allow_loopback: true };
        let store: Arc<dyn JobStore> = Arc::<Outbox>::clone(outbox);
        let deliverer = Deliverer::new(store, config, metrics.clone(), limits).expect("a deliverer");
        let task = lifecycle.spawn("callbacks", deliverer.run(lifecycle.clone()));
        Self { lifecycle, metrics, task }
    }

    fn counted(&self, outcome: &str, times: u32) -> bool {
        let line = format!("flux_callbacks_total{{outcome=\"{outcome}\"}} {times}");
        String::from_utf8(self.metrics.render()).expect("text").lines().any(|other| other == line)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.lifecycle.abort();
        self.task.abort();
    }
}

#[tokio::test]
async fn a_callback_arrives_signed_and_is_removed() {
    let mut receiver = Receiver::on("127.0.0.1", Manners::Answer(204)).await;
    let sent = callback(receiver.url());
    let outbox = Outbox::of([sent.clone()]);
    let running = Running::over(&outbox);
    let request = receiver.next().await;
    assert_eq!(request.method, "POST");
    assert_eq!(request.id(), format!("msg_{}", sent.id.0.simple()));
    assert_eq!(request.headers["content-type"], "application/json");
    assert_eq!(request.headers["user-agent"], format!("flux-encoder/{}", service::VERSION));
    assert_eq!(request.body, sent.payload);
    let webhook = Webhook::new(SECRET).expect("a secret");
    webhook.verify(&request.body, &request.headers).expect("a good signature");
    assert!(webhook.verify(b"{}", &request.headers).is_err(), "the signature is for this body");
    outbox.settled(1).await;
    assert!(outbox.rows().is_empty() && running.counted("delivered", 1));
}

#[tokio::test]
async fn a_callback_that_comes_later_is_sent_at_once() {
    let mut receiver = Receiver::on("127.0.0.1", Manners::Answer(200)).await;
    let outbox = Outbox::of([]);
    let _running = Running::over(&outbox);
    outbox.add(callback(receiver.url()));
    receiver.next().await;
    outbox.add(callback(receiver.url()));
    receiver.next().await;
}

#[tokio::test]
async fn what_did_not_arrive_is_sent_again_under_the_same_name() {
    let mut receiver = Receiver::on("127.0.0.1", Manners::Answer(500)).await;
    let outbox = Outbox::of([callback(receiver.url())]);
    let running = Running::over(&outbox);
    let first = receiver.next().await;
    let second = receiver.next().await;
    receiver.change(Manners::Answer(200));
    assert_eq!((first.id(), &first.body), (second.id(), &second.body));
    outbox.emptied().await;
    assert!(running.counted("delivered", 1));
}

#[tokio::test]
async fn a_receiver_that_is_gone_is_left_alone() {
    let receiver = Receiver::on("127.0.0.1", Manners::Answer(410)).await;
    let outbox = Outbox::of([callback(receiver.url())]);
    let running = Running::over(&outbox);
    outbox.settled(1).await;
    assert!(outbox.rows().is_empty() && running.counted("gone", 1));
}

#[tokio::test]
async fn a_redirect_is_a_failure_and_leads_nowhere() {
    let mut elsewhere = Receiver::on("127.0.0.1", Manners::Answer(200)).await;
    let redirect = Manners::Header(307, "location", elsewhere.url());
    let receiver = Receiver::on("127.0.0.1", redirect).await;
    let outbox = Outbox::of([callback(receiver.url())]);
    let running = Running::over(&outbox);
    outbox.settled(2).await;
    assert!(elsewhere.is_quiet() && !running.counted("delivered", 1));
}

#[tokio::test]
async fn a_callback_is_given_up_a_day_after_the_jobs_end() {
    let mut receiver = Receiver::on("127.0.0.1", Manners::Answer(503)).await;
    let outbox = Outbox::of([]);
    let running = Running::over(&outbox);
    outbox.add(Callback { created_at: Timestamp::now() - Duration::from_hours(25), ..callback(receiver.url()) });
    receiver.next().await;
    outbox.settled(1).await;
    assert!(outbox.rows().is_empty() && running.counted("given_up", 1));
}

#[tokio::test]
async fn a_process_that_dies_before_the_answer_loses_nothing() {
    let mut receiver = Receiver::on("127.0.0.1", Manners::Hang).await;
    let outbox = Outbox::of([callback(receiver.url())]);
    let running = Running::over(&outbox);
    let first = receiver.next().await;
    drop(running);
    receiver.change(Manners::Answer(200));
    outbox.everything_is_due();
    let _running = Running::over(&outbox);
    assert_eq!(receiver.next().await.id(), first.id());
    outbox.settled(1).await;
    assert!(outbox.rows().is_empty());
}

#[tokio::test]
async fn a_stop_waits_for_an_answer_that_is_on_its_way() {
    let mut receiver = Receiver::on("127.0.0.1", Manners::Hang).await;
    let outbox = Outbox::of([callback(receiver.url())]);
    let mut running = Running::with(&outbox, Limits { farewell: Duration::from_millis(50), ..limits() });
    receiver.next().await;
    running.lifecycle.stop();
    timeout(PATIENCE, &mut running.task).await.expect("an end in time").expect("no panic");
    assert_eq!(outbox.rows().len(), 1, "nobody knows whether it arrived, so it is sent again");
}

#[tokio::test]
async fn a_dead_host_does_not_hold_up_the_others() {
    let dead = Receiver::on("127.0.0.2", Manners::Hang).await;
    let mut alive = Receiver::on("127.0.0.1", Manners::Answer(200)).await;
    let mut callbacks: Vec<_> = (0..100).map(|_| callback(dead.url())).collect();
    callbacks.push(callback(alive.url()));
    let outbox = Outbox::of(callbacks);
    let _running = Running::over(&outbox);
    alive.next().await;
    outbox.settled(1).await;
    assert_eq!(outbox.rows().len(), 100);
}

#[tokio::test]
async fn a_host_that_does_not_answer_in_time_has_failed() {
    let receiver = Receiver::on("127.0.0.1", Manners::Hang).await;
    let outbox = Outbox::of([callback(receiver.url())]);
    let running = Running::with(&outbox, Limits { patience: Duration::from_millis(50), ..limits() });
    outbox.settled(1).await;
    assert!(running.counted("failed", 1) && outbox.rows()[0].0.failures > 0);
}

#[tokio::test]
async fn an_answer_without_end_is_an_answer() {
    let receiver = Receiver::on("127.0.0.1", Manners::Endless).await;
    let outbox = Outbox::of([callback(receiver.url())]);
    let running = Running::over(&outbox);
    outbox.settled(1).await;
    assert!(outbox.rows().is_empty() && running.counted("delivered", 1));
}

#[tokio::test]
async fn a_store_that_comes_back_is_asked_again() {
    let mut receiver = Receiver::on("127.0.0.1", Manners::Answer(200)).await;
    let outbox = Outbox::of([callback(receiver.url())]);
    outbox.set_broken(true);
    let _running = Running::over(&outbox);
    tokio::task::yield_now().await;
    outbox.set_broken(false);
    receiver.next().await;
    outbox.settled(1).await;
}

async fn send(url: &str, allow_loopback: bool) -> Outcome {
    let sender = Sender::new(Config { secrets: None, allow_loopback }, PATIENCE).expect("a sender");
    timeout(PATIENCE, sender.send(&callback(url), Timestamp::now())).await.expect("an outcome in time")
}

#[rstest]
#[case::a_literal("127.0.0.1", "a loopback address")]
#[case::any_loopback("127.9.9.9", "a loopback address")]
#[case::a_number("2130706433", "a loopback address")]
#[case::all_addresses("0.0.0.0", "a loopback address")]
#[case::ipv6("[::1]", "a loopback address")]
#[case::mapped("[::ffff:127.0.0.1]", "a loopback address")]
#[case::a_name("localhost", "a loopback address")]
#[case::metadata("169.254.169.254", "a link-local address")]
#[tokio::test]
async fn forbidden_addresses_are_not_connected_to(#[case] host: &str, #[case] why: &str) {
    let mut receiver = Receiver::on("127.0.0.1", Manners::Answer(200)).await;
    let outcome = send(&format!("http://{host}:{}/", receiver.address.port()), false).await;
    let Outcome::Failed(failure) = outcome else { panic!("{outcome:?}") };
    assert_eq!(failure.to_string(), format!("the host is {why}, which callbacks may not use"));
    assert!(receiver.is_quiet());
}

#[tokio::test]
async fn a_name_of_this_machine_is_reached_where_that_is_allowed() {
    let receiver = Receiver::on("127.0.0.1", Manners::Answer(200)).await;
    let outcome = send(&format!("http://localhost:{}/", receiver.address.port()), true).await;
    assert!(matches!(outcome, Outcome::Delivered), "{outcome:?}");
}

#[tokio::test]
async fn a_pause_that_the_receiver_asks_for_is_heard() {
    let receiver = Receiver::on("127.0.0.1", Manners::Header(429, "retry-after", "120".to_owned())).await;
    let Outcome::Failed(failure) = send(&receiver.url(), true).await else { panic!("429 is a failure") };
    assert_eq!(failure.retry_after(), Some(Duration::from_mins(2)));
}

#[tokio::test]
async fn what_is_said_of_a_failure_does_not_hold_the_url() {
    let receiver = Receiver::on("127.0.0.1", Manners::Answer(200)).await;
    let (plain, port) = (receiver.url(), receiver.address.port());
    drop(receiver);
    for url in
        [plain, format!("https://localhost:{port}/?token=hunter2"), "http://no.invalid/?token=hunter2".to_owned()]
    {
        let Outcome::Failed(failure) = send(&url, true).await else { panic!("nobody is there") };
        assert!(!failure.to_string().contains("hunter2"), "{failure}");
    }
}
