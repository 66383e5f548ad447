//! Calls that may hang in the kernel, made on watched threads.
//!
//! A question that hangs keeps one thread, is never asked a second time while it hangs, and may be asked again once it
//! was answered after all; an answer that comes after its round is not used. The others go on: for each [`STALL`] that
//! a round lasts its threads are doubled, up to [`MAX_THREADS`]. One idle thread is kept between rounds. Whoever asks
//! waits no longer than the patience given.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Most threads, hanging ones included.
pub const MAX_THREADS: usize = 64;
const STALL: Duration = Duration::from_millis(50);
/// Enough for one system call.
const STACK: usize = 128 << 10;

/// A call that may hang.
pub trait Question: Clone + Send + 'static {
    type Answer: Send + 'static;
    /// Makes the call. Must not panic.
    fn answer(&self) -> Self::Answer;
    /// Whether both are the same call.
    fn is(&self, other: &Self) -> bool;
    /// Whether one would hang when the other does. True of the same call.
    fn hangs_with(&self, other: &Self) -> bool;
}

/// How long to wait.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// In one round, for all questions together.
    pub round: Duration,
    /// For one question, over all rounds: older than that it is stuck and no round waits for it.
    pub question: Duration,
}

/// The threads and what they are asked.
pub struct Watched<Q: Question>(Arc<Shared<Q>>);

struct Shared<Q: Question> {
    state: Mutex<State<Q>>,
    /// There is something to ask, or all is over.
    asked: Condvar,
    /// Nothing is left in the queue and a thread is done.
    answered: Condvar,
}

struct State<Q: Question> {
    /// Questions of this round with their places among the answers.
    queue: VecDeque<(usize, Q)>,
    asking: Vec<Asking<Q>>,
    answers: Vec<Option<Q::Answer>>,
    threads: usize,
    idle: usize,
    over: bool,
}

/// A call that is being made.
struct Asking<Q> {
    question: Q,
    since: Instant,
    /// Place of its answer in this round; `None` when this round did not ask for it.
    place: Option<usize>,
}

impl<Q: Question> Default for Watched<Q> {
    /// Starts no thread yet.
    fn default() -> Self {
        let state =
            State { queue: VecDeque::new(), asking: Vec::new(), answers: Vec::new(), threads: 0, idle: 0, over: false };
        Watched(Arc::new(Shared { state: Mutex::new(state), asked: Condvar::new(), answered: Condvar::new() }))
    }
}

impl<Q: Question> Watched<Q> {
    /// The answers to `questions` (all different), in their order; `None` for one that did not come in time.
    pub fn ask(&self, questions: &[Q], patience: Patience) -> Vec<Option<Q::Answer>> {
        let begun = Instant::now();
        let mut state = self.0.lock();
        state.begin(questions);
        if state.idle > 0 {
            self.0.asked.notify_one();
        } else if !state.queue.is_empty() {
            self.start(&mut state);
        }
        while state.is_worth_waiting(patience.question) {
            let left = patience.round.saturating_sub(begun.elapsed());
            if left.is_zero() {
                break;
            }
            let waited = self.0.answered.wait_timeout(state, left.min(STALL)).unwrap_or_else(PoisonError::into_inner);
            state = waited.0;
            if waited.1.timed_out() {
                for _ in 0..state.threads.max(1).min(state.free().count()) {
                    self.start(&mut state);
                }
            }
        }
        state.end()
    }

    fn start(&self, state: &mut State<Q>) {
        if state.threads >= MAX_THREADS {
            return;
        }
        let shared = Arc::clone(&self.0);
        let thread = std::thread::Builder::new().name("watched".into()).stack_size(STACK);
        if thread.spawn(move || shared.work()).is_ok() {
            state.threads += 1;
        }
    }
}

impl<Q: Question> Drop for Watched<Q> {
    /// Idle threads end now, hanging ones when they are answered.
    fn drop(&mut self) {
        self.0.lock().over = true;
        self.0.asked.notify_all();
    }
}

impl<Q: Question> Shared<Q> {
    fn lock(&self) -> MutexGuard<'_, State<Q>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Life of a thread.
    fn work(&self) {
        let mut state = self.lock();
        loop {
            let Some((place, question)) = state.next() else {
                if state.over || state.idle > 0 {
                    break;
                }
                state.idle += 1;
                state = self.asked.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.idle -= 1;
                continue;
            };
            let asking = Asking { question: question.clone(), since: Instant::now(), place: Some(place) };
            state.asking.push(asking);
            drop(state);
            let answer = question.answer();
            state = self.lock();
            state.put(&question, answer);
            if state.queue.is_empty() {
                self.answered.notify_one();
            }
        }
        state.threads -= 1;
    }
}

impl<Q: Question> State<Q> {
    /// Begins a round: everything is queued that is not being asked already.
    fn begin(&mut self, questions: &[Q]) {
        self.queue.clear();
        self.answers.clear();
        self.answers.resize_with(questions.len(), || None);
        for asking in &mut self.asking {
            asking.place = questions.iter().position(|q| q.is(&asking.question));
        }
        for (place, question) in questions.iter().enumerate() {
            if self.asking.iter().all(|a| a.place != Some(place)) {
                self.queue.push_back((place, question.clone()));
            }
        }
    }

    fn end(&mut self) -> Vec<Option<Q::Answer>> {
        self.queue.clear();
        for asking in &mut self.asking {
            asking.place = None;
        }
        std::mem::take(&mut self.answers)
    }

    /// Where in the queue the questions are that would not hang with one that is being asked.
    fn free(&self) -> impl Iterator<Item = usize> {
        let free = |q: &Q| self.asking.iter().all(|a| !a.question.hangs_with(q));
        self.queue.iter().enumerate().filter(move |(_, (_, q))| free(q)).map(|(at, _)| at)
    }

    fn next(&mut self) -> Option<(usize, Q)> {
        let at = self.free().next()?;
        self.queue.remove(at)
    }

    fn put(&mut self, question: &Q, answer: Q::Answer) {
        let Some(at) = self.asking.iter().position(|a| a.question.is(question)) else { return };
        if let Some(place) = self.asking.swap_remove(at).place {
            self.answers[place] = Some(answer);
        }
    }

    /// Whether an answer may still come: of a question that is not stuck, nor would hang with a stuck one.
    fn is_worth_waiting(&self, patience: Duration) -> bool {
        let stuck = |a: &&Asking<Q>| a.since.elapsed() >= patience;
        self.asking.iter().any(|a| a.place.is_some() && !stuck(&a))
            || self.queue.iter().any(|(_, q)| !self.asking.iter().filter(stuck).any(|a| a.question.hangs_with(q)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    /// Waits for its gate; shares a device with others.
    #[derive(Clone)]
    struct Call {
        id: usize,
        device: usize,
        gate: Arc<Gate>,
    }
    #[derive(Default)]
    struct Gate {
        shut: AtomicBool,
        asked: AtomicUsize,
    }

    impl Question for Call {
        type Answer = usize;
        fn answer(&self) -> usize {
            self.gate.asked.fetch_add(1, Ordering::SeqCst);
            while self.gate.shut.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(1));
            }
            self.id
        }
        fn is(&self, other: &Self) -> bool {
            self.id == other.id
        }
        fn hangs_with(&self, other: &Self) -> bool {
            self.device == other.device
        }
    }

    fn calls(devices: &[usize]) -> Vec<Call> {
        devices.iter().enumerate().map(|(id, device)| Call { id, device: *device, gate: Arc::default() }).collect()
    }
    fn shut(call: &Call, is: bool) {
        call.gate.shut.store(is, Ordering::SeqCst);
    }
    fn asked(call: &Call) -> usize {
        call.gate.asked.load(Ordering::SeqCst)
    }
    const SHORT: Patience = Patience { round: Duration::from_millis(300), question: Duration::from_millis(350) };

    #[test]
    fn answers_keep_the_order_and_one_thread_does() {
        let (watched, calls) = (Watched::default(), calls(&[1, 2, 3]));
        for _ in 0..50 {
            assert_eq!(watched.ask(&calls, SHORT), [Some(0), Some(1), Some(2)]);
        }
        assert_eq!(watched.0.lock().threads, 1);
        assert!(watched.ask(&[], SHORT).is_empty());
    }

    #[test]
    fn hanging_questions_cost_themselves_and_are_not_asked_twice() {
        let (watched, calls) = (Watched::default(), calls(&[1, 2, 3, 4, 5]));
        calls[..3].iter().for_each(|c| shut(c, true));
        let begun = Instant::now();
        assert_eq!(watched.ask(&calls, SHORT), [None, None, None, Some(3), Some(4)]);
        assert!(begun.elapsed() < Duration::from_millis(600));
        std::thread::sleep(Duration::from_millis(100));
        let begun = Instant::now();
        assert_eq!(watched.ask(&calls, SHORT), [None, None, None, Some(3), Some(4)]);
        assert!(begun.elapsed() < Duration::from_millis(200), "stuck ones are not waited for");
        assert_eq!(calls[..3].iter().map(asked).sum::<usize>(), 3);

        calls.iter().for_each(|c| shut(c, false));
        std::thread::sleep(Duration::from_millis(100));
        assert_eq!(watched.ask(&calls, SHORT), [Some(0), Some(1), Some(2), Some(3), Some(4)]);
        assert_eq!(asked(&calls[0]), 2);
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!(watched.0.lock().threads, 1, "the others ended");
    }

    #[test]
    fn what_shares_the_device_of_a_hanging_question_is_left_alone() {
        let (watched, calls) = (Watched::default(), calls(&[7, 7, 7, 8]));
        shut(&calls[0], true);
        assert_eq!(watched.ask(&calls, SHORT), [None, None, None, Some(3)]);
        assert_eq!((asked(&calls[1]), watched.0.lock().asking.len()), (0, 1));
        shut(&calls[0], false);
    }

    #[test]
    fn a_late_answer_is_used_by_the_round_it_comes_in() {
        let (watched, calls) = (Watched::default(), calls(&[1]));
        let patience = Patience { round: Duration::from_millis(100), question: Duration::from_secs(60) };
        shut(&calls[0], true);
        assert_eq!(watched.ask(&calls, patience), [None]);
        let gate = Arc::clone(&calls[0].gate);
        let opener = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(30));
            gate.shut.store(false, Ordering::SeqCst);
        });
        assert_eq!(watched.ask(&calls, patience), [Some(0)]);
        assert_eq!(asked(&calls[0]), 1);
        opener.join().unwrap();
    }

    #[test]
    fn threads_are_bounded() {
        let devices: Vec<usize> = (0..MAX_THREADS + 20).collect();
        let (watched, calls) = (Watched::default(), calls(&devices));
        calls.iter().for_each(|c| shut(c, true));
        let patience = Patience { round: Duration::from_millis(600), question: Duration::from_secs(60) };
        assert!(watched.ask(&calls, patience).iter().all(Option::is_none));
        assert_eq!(watched.0.lock().threads, MAX_THREADS);
        calls.iter().for_each(|c| shut(c, false));
    }
}
