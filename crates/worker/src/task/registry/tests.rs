//! Who is admitted, who is known, and when the worker is idle.

use super::*;
use crate::{clock::tests::Hands, lease};

const PAUSE: Duration = Duration::from_secs(1);

fn admit(registry: &Registry, id: &str) -> Result<Slot, Refusal> {
    let ticket = Ticket { attempt: 0, lease: None, feed: Feed::new() };
    registry.admit(id, ticket, CancellationToken::new())
}

/// Leases of a second by this clock.
fn admit_leased(registry: &Registry, id: &str, attempt: u32, hands: &Hands) -> Result<Slot, Refusal> {
    let lease = Lease::begin(&lease::tests::terms(hands), 0);
    assert!(lease.is_some());
    registry.admit(id, Ticket { attempt, lease, feed: Feed::new() }, CancellationToken::new())
}

#[test]
fn never_more_jobs_than_slots() {
    let registry = Registry::new(2);
    let slots: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..12)
            .map(|id| {
                scope.spawn({
                    let registry = &registry;
                    move || admit(registry, &id.to_string())
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    assert_eq!(slots.iter().filter(|slot| slot.is_ok()).count(), 2);
    assert!(slots.iter().all(|slot| matches!(slot, Ok(_) | Err(Refusal::Full))));
}

#[test]
fn a_slot_is_given_back_when_its_job_ends() {
    let registry = Registry::new(1);
    let slot = admit(&registry, "a").expect("free");
    assert_eq!(admit(&registry, "b").expect_err("full"), Refusal::Full);
    drop(slot);
    assert!(admit(&registry, "b").is_ok());
}

#[test]
fn an_id_runs_once() {
    let registry = Registry::new(2);
    let _slot = admit(&registry, "a").expect("free");
    assert_eq!(admit(&registry, "a").expect_err("running"), Refusal::Duplicate);
}

#[test]
fn only_a_running_job_can_be_cancelled() {
    let registry = Registry::new(1);
    let slot = admit(&registry, "a").expect("free");
    assert!(registry.cancel("a") && slot.control().permit().is_over());
    assert_eq!(slot.control().reason(), Reason::Requested);
    assert!(!registry.cancel("b"));
}

#[tokio::test(start_paused = true)]
async fn a_worker_without_a_job_yet_is_not_idle() {
    let registry = Registry::new(1);
    assert!(tokio::time::timeout(Duration::from_hours(1), registry.idle(PAUSE)).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_nobody_uses_can_give_up() {
    let registry = Registry::new(1);
    registry.unused(PAUSE).await;
    assert_eq!(admit(&registry, "a").expect_err("too late"), Refusal::Stopping);
    let registry = Registry::new(1);
    let _slot = admit(&registry, "a").expect("free");
    assert!(tokio::time::timeout(PAUSE * 100, registry.unused(PAUSE)).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_job_in_the_last_second_is_served() {
    let registry = Registry::new(1);
    drop(admit(&registry, "a"));
    let idle = tokio::spawn({
        let registry = registry.clone();
        async move { registry.idle(PAUSE).await }
    });
    tokio::time::sleep(PAUSE.mul_f32(0.9)).await;
    let slot = admit(&registry, "b").expect("not idle yet");
    tokio::time::sleep(PAUSE * 10).await;
    assert!(!idle.is_finished());
    drop(slot);
    idle.await.expect("no panic");
    assert_eq!(admit(&registry, "c").expect_err("too late"), Refusal::Stopping);
}

#[tokio::test(start_paused = true)]
async fn a_short_job_in_the_last_second_starts_the_second_again() {
    let registry = Registry::new(1);
    drop(admit(&registry, "a"));
    let started = tokio::time::Instant::now();
    let idle = tokio::spawn({
        let registry = registry.clone();
        async move { registry.idle(PAUSE).await }
    });
    tokio::time::sleep(PAUSE.mul_f32(0.9)).await;
    drop(admit(&registry, "b"));
    idle.await.expect("no panic");
    assert!(started.elapsed() >= PAUSE.mul_f32(1.9));
}

#[test]
fn a_result_is_known_until_it_is_released_and_takes_no_slot() {
    let (registry, hands) = (Registry::new(1), Hands::default());
    let kept = admit_leased(&registry, "a", 1, &hands).expect("free").end().expect("it is kept");
    assert!(registry.find("a", 1).is_some());
    assert_eq!((registry.running().len(), registry.cancel("a")), (0, false));
    drop(admit(&registry, "b").expect("a result takes no slot"));
    registry.release("a", 1);
    assert!(registry.find("a", 1).is_none());
    drop(kept);
}

#[test]
fn only_its_own_attempt_is_known_and_released() {
    let (registry, hands) = (Registry::new(1), Hands::default());
    let _kept = admit_leased(&registry, "a", 2, &hands).expect("free").end().expect("it is kept");
    for other in [0, 1, 3] {
        registry.release("a", other);
        assert!(registry.find("a", other).is_none());
    }
    assert!(registry.find("a", 2).is_some());
}

#[test]
fn a_task_that_runs_is_not_released() {
    let (registry, hands) = (Registry::new(1), Hands::default());
    let _slot = admit_leased(&registry, "a", 1, &hands).expect("free");
    registry.release("a", 1);
    assert!(registry.find("a", 1).is_some());
}

#[test]
fn a_task_of_a_stream_is_neither_known_nor_kept() {
    let registry = Registry::new(1);
    let slot = admit(&registry, "a").expect("free");
    assert!(registry.find("a", 0).is_none());
    assert!(slot.end().is_none());
}

#[test]
fn a_later_attempt_replaces_a_result_and_an_earlier_one_does_not() {
    let (registry, hands) = (Registry::new(2), Hands::default());
    let kept = admit_leased(&registry, "a", 2, &hands).expect("free").end().expect("it is kept");
    for stale in [1, 2] {
        assert_eq!(admit_leased(&registry, "a", stale, &hands).expect_err("stale"), Refusal::Duplicate);
    }
    let slot = admit_leased(&registry, "a", 3, &hands).expect("a later one");
    drop(kept);
    assert!(registry.find("a", 3).is_some(), "what was kept is gone without it");
    assert_eq!(admit_leased(&registry, "a", 4, &hands).expect_err("still running"), Refusal::Duplicate);
    drop(slot);
}

#[test]
fn nothing_is_kept_of_a_task_whose_lease_has_ended() {
    let (registry, hands) = (Registry::new(1), Hands::default());
    let slot = admit_leased(&registry, "a", 1, &hands).expect("free");
    hands.set(1000);
    assert_eq!(slot.control().reason(), Reason::Lapsed);
    assert!(slot.end().is_none() && registry.find("a", 1).is_none());
}

#[test]
fn so_many_results_leave_no_room_for_jobs() {
    let (registry, hands) = (Registry::new(1), Hands::default());
    let keep = |id: usize| admit_leased(&registry, &id.to_string(), 1, &hands).expect("free").end();
    let kept: Vec<_> = (0..MAX_KEPT).map(keep).collect();
    assert_eq!(admit(&registry, "a").expect_err("full"), Refusal::Full);
    drop(kept);
    assert!(admit(&registry, "a").is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_result_that_nobody_collects_is_forgotten_with_its_lease() {
    let (registry, hands) = (Registry::new(1), Hands::default());
    let kept = admit_leased(&registry, "a", 1, &hands).expect("free").end().expect("it is kept");
    assert!(tokio::time::timeout(PAUSE * 100, kept.collected()).await.is_err());
    hands.set(1000);
    kept.collected().await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_is_not_idle_while_a_result_waits() {
    let (registry, hands) = (Registry::new(1), Hands::default());
    let _kept = admit_leased(&registry, "a", 1, &hands).expect("free").end();
    assert!(tokio::time::timeout(PAUSE * 100, registry.idle(PAUSE)).await.is_err());
    registry.release("a", 1);
    registry.idle(PAUSE).await;
}

#[tokio::test]
async fn every_change_of_the_load_is_told_and_a_stop_leaves_no_room() {
    let registry = Registry::new(2);
    let mut load = registry.load();
    let slot = admit(&registry, "a").expect("free");
    load.changed().await.expect("it has changed");
    assert_eq!((load.borrow_and_update().running, registry.max()), (1, 2));
    registry.close();
    load.changed().await.expect("it has changed");
    assert!(registry.max() == 1 && !load.borrow_and_update().is_last());
    drop(slot);
    load.changed().await.expect("it has changed");
    assert!(load.borrow_and_update().is_last());
}
