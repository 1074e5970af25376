//! The order and the pauses of the queue, in paused time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::time::{advance, timeout};

use super::*;

fn queue() -> Queue<&'static str> {
    Queue::new(|| 0.5)
}

async fn next(queue: &Queue<&'static str>) -> Option<(&'static str, Work)> {
    timeout(Duration::from_millis(1), queue.next()).await.ok()
}

#[tokio::test(start_paused = true)]
async fn a_key_waits_once_and_the_larger_work_wins() {
    let queue = queue();
    queue.add(&"a", Work::Status);
    queue.add(&"b", Work::Full);
    queue.add(&"a", Work::Full);
    queue.add(&"a", Work::Status);
    assert_eq!(queue.depth(), 2);
    assert_eq!(next(&queue).await, Some(("a", Work::Full)));
    assert_eq!(next(&queue).await, Some(("b", Work::Full)));
    assert_eq!(next(&queue).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_key_is_never_worked_on_twice_at_a_time_and_a_change_is_not_lost() {
    let queue = queue();
    queue.add(&"a", Work::Full);
    assert!(next(&queue).await.is_some());
    queue.add(&"a", Work::Full);
    assert_eq!(next(&queue).await, None);
    queue.finish(&"a", Work::Full, Outcome::Done);
    assert_eq!(next(&queue).await, Some(("a", Work::Full)));
    queue.finish(&"a", Work::Full, Outcome::Done);
    assert_eq!(next(&queue).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_failed_key_waits_longer_each_time_and_success_resets_that() {
    let queue = queue();
    let mut waits = Vec::new();
    for outcome in [Outcome::Failed(Category::Other); 3] {
        queue.add(&"a", Work::Full);
        assert!(next(&queue).await.is_some());
        let begin = Instant::now();
        queue.finish(&"a", Work::Full, outcome);
        let (key, work) = queue.next().await;
        waits.push(begin.elapsed().as_secs());
        queue.finish(&key, work, Outcome::Failed(Category::Other));
    }
    // Each round fails twice: the 1st, 3rd and 5th failure are timed.
    assert_eq!(waits, [5, 20, 80]);
    let (key, work) = queue.next().await;
    queue.finish(&key, work, Outcome::Done);
    assert_eq!(next(&queue).await, None);
    queue.add(&"a", Work::Full);
    let (key, work) = queue.next().await;
    let begin = Instant::now();
    queue.finish(&key, work, Outcome::Failed(Category::Other));
    queue.next().await;
    assert_eq!(begin.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_change_is_worked_on_at_once_even_where_the_key_waits_for_its_next_try() {
    let queue = queue();
    queue.add(&"a", Work::Full);
    let (key, work) = queue.next().await;
    queue.finish(&key, work, Outcome::Failed(Category::Forbidden));
    queue.add(&"a", Work::Status);
    assert_eq!(next(&queue).await, None, "a status would hide that the work failed");
    queue.add(&"a", Work::Full);
    assert!(next(&queue).await.is_some());
    queue.finish(&"a", Work::Full, Outcome::Done);
    advance(Duration::from_mins(10)).await;
    assert_eq!(next(&queue).await, None, "the earlier try is not made as well");
}

#[tokio::test(start_paused = true)]
async fn what_is_to_be_looked_at_again_comes_back_by_itself() {
    let queue = queue();
    queue.add(&"a", Work::Full);
    let (key, work) = queue.next().await;
    queue.finish(&key, work, Outcome::Again(Duration::from_mins(1)));
    assert_eq!(next(&queue).await, None);
    advance(Duration::from_mins(1)).await;
    assert!(next(&queue).await.is_some());
}

#[test]
fn the_category_picks_the_delay() {
    let seconds = |category, failures| delay(category, failures, 0.5).as_secs_f64();
    assert!(seconds(Category::Conflict, 1).abs() < 1e-9);
    assert!(seconds(Category::Conflict, 40) <= 10.0);
    assert!((seconds(Category::Busy(None), 1) - 0.5).abs() < 1e-9);
    assert!((seconds(Category::Busy(None), 40) - 60.0).abs() < 1e-9);
    let after = Some(Duration::from_secs(7));
    assert!((seconds(Category::Busy(after), 1) - 7.0).abs() < 1e-9);
    assert!((seconds(Category::Forbidden, 9) - 30.0).abs() < 1e-9);
    assert!((seconds(Category::Other, 1) - 5.0).abs() < 1e-9);
    assert!((seconds(Category::Other, 40) - 300.0).abs() < 1e-9);
}

#[tokio::test(start_paused = true)]
async fn only_so_many_keys_are_worked_on_at_once_and_a_defect_stalls_nobody() {
    let queue: Arc<Queue<usize>> = Arc::new(Queue::new(|| 0.5));
    let (running, most, done) =
        (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let ended = Arc::new(AtomicUsize::new(0));
    for key in 0..40 {
        queue.add(&key, Work::Full);
    }
    let worker = {
        let (queue, running, most) = (Arc::clone(&queue), Arc::clone(&running), Arc::clone(&most));
        let (done, ended) = (Arc::clone(&done), Arc::clone(&ended));
        tokio::spawn(async move {
            run(&queue, 8, move |key, _| {
                let (running, most) = (Arc::clone(&running), Arc::clone(&most));
                let (done, ended) = (Arc::clone(&done), Arc::clone(&ended));
                async move {
                    assert!(key != 7, "a defect");
                    most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    running.fetch_sub(1, Ordering::SeqCst);
                    if ended.fetch_add(1, Ordering::SeqCst) + 1 == 39 {
                        done.notify_one();
                    }
                    Outcome::Done
                }
            })
            .await;
        })
    };
    done.notified().await;
    assert_eq!(most.load(Ordering::SeqCst), 8);
    worker.abort();
}
