//! The worker pool under repetition, panics and contention.

use super::Pool;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Claims `parts` parts across the pool and returns how often each was run.
fn claim(pool: &Pool, parts: usize) -> Vec<usize> {
    let next = AtomicUsize::new(0);
    let counts: Vec<AtomicUsize> = (0..parts).map(|_| AtomicUsize::new(0)).collect();
    pool.run(&|_| {
        loop {
            let part = next.fetch_add(1, Ordering::Relaxed);
            let Some(count) = counts.get(part) else { return };
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    counts.into_iter().map(AtomicUsize::into_inner).collect()
}

#[test]
fn every_part_runs_once_in_each_of_many_jobs() {
    for workers in [0, 1, 3] {
        let pool = Pool::new(workers).unwrap();
        for parts in 0..300 {
            assert_eq!(claim(&pool, parts % 17), vec![1; parts % 17], "{workers} workers, job {parts}");
        }
    }
}

#[test]
fn sleeping_workers_wake_and_take_part() {
    let pool = Pool::new(2).unwrap();
    for _ in 0..3 {
        std::thread::sleep(Duration::from_millis(20));
        let inside = AtomicUsize::new(0);
        // The job can only end when all three threads are in it, so a lost wake-up would hang here.
        pool.run(&|_| {
            inside.fetch_add(1, Ordering::SeqCst);
            while inside.load(Ordering::SeqCst) < 3 {
                std::thread::yield_now();
            }
        });
        assert_eq!(inside.into_inner(), 3);
    }
}

#[test]
fn a_slow_worker_is_waited_for() {
    let pool = Pool::new(1).unwrap();
    let entered = AtomicUsize::new(0);
    let left = AtomicUsize::new(0);
    pool.run(&|_| {
        if entered.fetch_add(1, Ordering::SeqCst) == 1 {
            std::thread::sleep(Duration::from_millis(30));
        }
        while entered.load(Ordering::SeqCst) < 2 {
            std::thread::yield_now();
        }
        left.fetch_add(1, Ordering::SeqCst);
    });
    assert_eq!(left.into_inner(), 2);
}

#[test]
fn a_panic_on_any_thread_reaches_the_caller_and_the_pool_lives_on() {
    let pool = Pool::new(2).unwrap();
    let caller = std::thread::current().id();
    for on_caller in [true, false] {
        let panicking = AtomicUsize::new(0);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            pool.run(&|_| {
                if (std::thread::current().id() == caller) == on_caller {
                    panicking.fetch_add(1, Ordering::SeqCst);
                    panic!("on purpose");
                }
                // The others stay until a panic is under way, so it always happens beside a running thread.
                while panicking.load(Ordering::SeqCst) == 0 {
                    std::thread::yield_now();
                }
            });
        }));
        assert!(outcome.is_err(), "a panic was lost");
        assert_eq!(claim(&pool, 100), vec![1; 100]);
    }
}

#[test]
fn two_callers_at_once_both_finish() {
    let pool = Pool::new(1).unwrap();
    let results = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..200 {
                    let counts = claim(&pool, 9);
                    results.lock().unwrap().push(counts);
                }
            });
        }
    });
    let results = results.into_inner().unwrap();
    assert!(results.len() == 400 && results.iter().all(|counts| *counts == vec![1; 9]));
}
