//! Threads on demand: one more whenever a job would find none free, up to a bound, and each ends
//! after some idle time. Every job gets exactly one reply, even if it panics. A job may be kept by whoever does
//! it until others are done; it counts as unfinished, but keeps no thread.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use crate::limits::{JOBS_MAX, WORKER_IDLE_MS, WORKER_STACK_BYTES};
use crate::message::{Job, JobDone};

/// What workers do.
pub trait Labour: Send + Sync {
    /// Does a job; may block. `None`: it is kept, and [`Labour::poll`] has its reply some time.
    fn run(&self, job: Job) -> Option<JobDone>;

    /// Asked after each job and when it said so. Never panics.
    fn poll(&self) -> Kept {
        Kept::None
    }
}

/// What there is of jobs that were kept.
#[derive(Debug)]
pub enum Kept {
    /// The reply to one of them.
    Done(JobDone),
    /// Nothing before that time has passed.
    Until(Duration),
    /// Nothing.
    None,
}

impl<F: Fn(Job) -> JobDone + Send + Sync> Labour for F {
    fn run(&self, job: Job) -> Option<JobDone> {
        Some(self(job))
    }
}

type Reply = dyn Fn(JobDone) + Send + Sync;

/// The way to the workers, for any thread. Cheap to clone.
#[derive(Clone)]
pub struct WorkerPool {
    shared: Arc<Shared>,
}

struct Shared {
    counts: Mutex<Counts>,
    ended: Condvar,
    queue: Receiver<Job>,
    idle: Duration,
    labour: Box<dyn Labour>,
    reply: Box<Reply>,
}

struct Counts {
    /// The way into the queue; `None` once closed.
    jobs: Option<Sender<Job>>,
    workers_max: usize,
    /// Threads that run or are about to.
    workers: usize,
    /// Jobs handed in and not replied to.
    unfinished: usize,
}

impl WorkerPool {
    /// A pool of at most `workers_max` threads, none of them started yet. `labour` does a job, `reply`
    /// takes its outcome; both are called on the worker's thread, and `reply` may wait.
    pub fn new(
        workers_max: usize,
        labour: impl Labour + 'static,
        reply: impl Fn(JobDone) + Send + Sync + 'static,
    ) -> Self {
        Self::with_idle(
            workers_max,
            Duration::from_millis(WORKER_IDLE_MS),
            Box::new(labour),
            Box::new(reply),
        )
    }

    fn with_idle(
        workers_max: usize,
        idle: Duration,
        labour: Box<dyn Labour>,
        reply: Box<Reply>,
    ) -> Self {
        let (jobs, queue) = bounded(JOBS_MAX);
        let counts = Mutex::new(Counts {
            jobs: Some(jobs),
            workers_max,
            workers: 0,
            unfinished: 0,
        });
        WorkerPool {
            shared: Arc::new(Shared {
                counts,
                ended: Condvar::new(),
                queue,
                idle,
                labour,
                reply,
            }),
        }
    }

    /// Queues a job, without waiting. Errors: the job itself when the queue is full, no thread can be
    /// had, or the pool is closed: the caller says that it is busy.
    pub fn submit(&self, job: Job) -> Result<(), Job> {
        let mut counts = self.shared.counts();
        let Some(jobs) = &counts.jobs else {
            return Err(job);
        };
        jobs.try_send(job).map_err(|refused| refused.into_inner())?;
        counts.unfinished += 1;
        if counts.unfinished > counts.workers
            && counts.workers < counts.workers_max
            && self.start_worker()
        {
            counts.workers += 1;
        }
        if counts.workers > 0 {
            return Ok(());
        }
        // No thread will ever look, so the job taken back is the one just queued.
        counts.unfinished -= 1;
        self.shared.queue.try_recv().map_or(Ok(()), Err)
    }

    fn start_worker(&self) -> bool {
        let shared = Arc::clone(&self.shared);
        std::thread::Builder::new()
            .name("worker".to_owned())
            .stack_size(WORKER_STACK_BYTES)
            .spawn(move || shared.work())
            .is_ok()
    }

    /// Changes how many threads there may be; those beyond it end when they are idle.
    pub fn set_workers_max(&self, workers_max: usize) {
        self.shared.counts().workers_max = workers_max;
    }

    /// Takes no more jobs and waits, at most `limit`, until the queued ones are done and all threads
    /// have ended. The number of threads left.
    pub fn close(&self, limit: Duration) -> usize {
        let mut counts = self.shared.counts();
        counts.jobs = None;
        let waited = self
            .shared
            .ended
            .wait_timeout_while(counts, limit, |counts| counts.workers > 0);
        waited.unwrap_or_else(PoisonError::into_inner).0.workers
    }
}

impl Shared {
    /// The counts stay right when a thread panics, for none does while it holds them.
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A worker's life.
    fn work(&self) {
        loop {
            let kept = self.reply_kept();
            match self
                .queue
                .recv_timeout(kept.unwrap_or(self.idle).min(self.idle))
            {
                Ok(job) => self.do_job(job),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    // One stays to look after what is due later, whoever kept it.
                    let is_due_later = self.reply_kept().is_some();
                    let counts = self.counts();
                    // Decided under the lock, so a job queued meanwhile finds this worker or a new one.
                    let needed = counts.unfinished.max(usize::from(is_due_later));
                    if counts.workers > needed {
                        return self.end(counts);
                    }
                }
            }
        }
        self.end(self.counts());
    }

    /// Replies to jobs that were kept and are done; how long until there may be more, if any.
    fn reply_kept(&self) -> Option<Duration> {
        loop {
            match self.labour.poll() {
                Kept::Done(done) => self.reply(done),
                Kept::Until(wait) => return Some(wait),
                Kept::None => return None,
            }
        }
    }

    fn end(&self, mut counts: MutexGuard<'_, Counts>) {
        counts.workers -= 1;
        self.ended.notify_all();
    }

    fn do_job(&self, job: Job) {
        let failed = job.failed();
        let done = catch_unwind(AssertUnwindSafe(|| self.labour.run(job)));
        if let Some(done) = done.unwrap_or(Some(failed)) {
            self.reply(done);
        }
    }

    fn reply(&self, done: JobDone) {
        // Free before the reply: whoever it wakes may hand in the next job at once.
        self.counts().unfinished -= 1;
        let _ = catch_unwind(AssertUnwindSafe(|| (self.reply)(done)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ConnId;
    use crossbeam_channel::unbounded;
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const LONG: Duration = Duration::from_secs(60);

    fn job(key: u32) -> Job {
        Job::Settings {
            reply_to: Some(ConnId { key, generation: 0 }),
        }
    }

    fn key(done: &JobDone) -> u32 {
        done.reply_to().map_or(u32::MAX, |id| id.key)
    }

    fn done(job: &Job) -> JobDone {
        JobDone::Failed {
            reply_to: job.reply_to(),
        }
    }

    #[test]
    fn every_job_gets_one_reply() {
        let (replies, outcome) = unbounded();
        let pool = WorkerPool::new(
            4,
            |job: Job| done(&job),
            move |done| {
                let _ = replies.send(key(&done));
            },
        );
        for n in 0..1_000 {
            pool.submit(job(n)).expect("room");
        }
        assert_eq!(pool.close(LONG), 0);
        let mut keys: Vec<u32> = outcome.try_iter().collect();
        keys.sort_unstable();
        assert_eq!(keys, (0..1_000).collect::<Vec<_>>());
        assert!(pool.submit(job(0)).is_err(), "closed");
    }

    #[test]
    fn jobs_do_not_wait_behind_each_other_while_threads_may_start() {
        // Passes only if all four run at the same time.
        let meeting = Arc::new(Barrier::new(4));
        let (replies, outcome) = unbounded();
        let together = Arc::clone(&meeting);
        let pool = WorkerPool::new(
            4,
            move |job: Job| {
                together.wait();
                done(&job)
            },
            move |done| {
                let _ = replies.send(key(&done));
            },
        );
        for round in 0..20 {
            for n in 0..4 {
                pool.submit(job(n)).expect("room");
            }
            for _ in 0..4 {
                outcome
                    .recv_timeout(LONG)
                    .unwrap_or_else(|_| panic!("round {round} stands still"));
            }
            assert!(pool.shared.counts().workers <= 4);
        }
        assert_eq!(pool.close(LONG), 0);
    }

    #[test]
    fn a_panic_costs_neither_reply_nor_worker() {
        let (replies, outcome) = unbounded();
        let pool = WorkerPool::new(
            1,
            |job: Job| match job.reply_to() {
                Some(id) if id.key == 1 => panic!("on purpose"),
                _ => done(&job),
            },
            move |done| {
                let _ = replies.send(key(&done));
            },
        );
        for n in 0..3 {
            pool.submit(job(n)).expect("room");
        }
        assert_eq!(pool.close(LONG), 0);
        assert_eq!(outcome.try_iter().collect::<Vec<_>>(), [0, 1, 2]);
    }

    #[test]
    fn a_full_queue_gives_the_job_back() {
        let (gate, opened) = bounded::<()>(0);
        let (replies, outcome) = unbounded();
        let pool = WorkerPool::new(
            1,
            move |job: Job| {
                let _ = opened.recv();
                done(&job)
            },
            move |done| {
                let _ = replies.send(key(&done));
            },
        );
        let mut taken = 0;
        while pool.submit(job(taken)).is_ok() {
            taken += 1;
        }
        assert!(
            (JOBS_MAX as u32..=JOBS_MAX as u32 + 1).contains(&taken),
            "{taken}"
        );
        assert_eq!(pool.shared.counts().workers, 1);
        drop(gate);
        assert_eq!(pool.close(LONG), 0);
        assert_eq!(outcome.try_iter().count(), taken as usize);
    }

    #[test]
    fn idle_workers_end_and_new_ones_start() {
        let (replies, outcome) = unbounded();
        let pool = WorkerPool::with_idle(
            2,
            Duration::ZERO,
            Box::new(|job: Job| done(&job)),
            Box::new(move |done| {
                let _ = replies.send(key(&done));
            }),
        );
        for n in 0..200 {
            pool.submit(job(n)).expect("room");
            assert_eq!(outcome.recv_timeout(LONG), Ok(n));
            let counts = pool.shared.counts();
            let ended = pool
                .shared
                .ended
                .wait_timeout_while(counts, LONG, |counts| counts.workers > 0);
            assert!(!ended.expect("no panic").1.timed_out());
        }
    }

    /// Keeps each job until the next one comes, or until it is asked often enough.
    #[derive(Default)]
    struct Hoarder {
        kept: Mutex<Vec<Job>>,
        ready: Mutex<Vec<Job>>,
        asked: AtomicUsize,
    }

    impl Labour for Hoarder {
        fn run(&self, job: Job) -> Option<JobDone> {
            let mut kept = self.kept.lock().expect("no panic");
            self.ready.lock().expect("no panic").append(&mut kept);
            kept.push(job);
            None
        }

        fn poll(&self) -> Kept {
            if let Some(job) = self.ready.lock().expect("no panic").pop() {
                return Kept::Done(done(&job));
            }
            let mut kept = self.kept.lock().expect("no panic");
            if kept.is_empty() {
                return Kept::None;
            }
            if self.asked.fetch_add(1, Ordering::Relaxed) % 5 == 4 {
                self.ready.lock().expect("no panic").append(&mut kept);
            }
            Kept::Until(Duration::ZERO)
        }
    }

    #[test]
    fn what_was_kept_is_replied_to_though_no_job_comes() {
        for workers_max in [1, 4] {
            let (replies, outcome) = unbounded();
            let pool = WorkerPool::with_idle(
                workers_max,
                Duration::ZERO,
                Box::new(Hoarder::default()),
                Box::new(move |done| {
                    let _ = replies.send(key(&done));
                }),
            );
            for n in 0..100 {
                pool.submit(job(n)).expect("room");
            }
            let mut keys: Vec<u32> = (0..100)
                .map(|_| outcome.recv_timeout(LONG).expect("a reply"))
                .collect();
            keys.sort_unstable();
            assert_eq!(keys, (0..100).collect::<Vec<_>>());
            let counts = pool.shared.counts();
            let ended = pool
                .shared
                .ended
                .wait_timeout_while(counts, LONG, |counts| counts.workers > 0);
            let (counts, waited) = ended.expect("no panic");
            assert!(!waited.timed_out() && counts.unfinished == 0);
        }
    }

    #[test]
    fn close_does_not_wait_longer_than_told() {
        let (gate, opened) = bounded::<()>(0);
        let pool = WorkerPool::new(
            1,
            move |job: Job| {
                let _ = opened.recv();
                done(&job)
            },
            |_| {},
        );
        pool.submit(job(0)).expect("room");
        assert_eq!(pool.close(Duration::ZERO), 1);
        drop(gate);
        assert_eq!(pool.close(LONG), 0);
    }
}
