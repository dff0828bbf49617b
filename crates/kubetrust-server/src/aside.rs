//! Work that takes long, beside the other tasks of its thread.
//!
//! A task that computes holds up all that share its thread, and on a small machine that is everybody. One that is known
//! to take about a millisecond or more leaves the others to another thread meanwhile.

use std::future::poll_fn;
use std::num::NonZero;
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::Context;
use std::thread::available_parallelism;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::Semaphore;
use tokio::task::block_in_place;

/// A text of more bytes takes long to read.
const LARGE: usize = 64 * 1024;

/// So many at once: more would only take the processors from each other, and a thread each.
static PLACES: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(available_parallelism().map_or(1, NonZero::get)));

/// Does what takes long. Where nobody else could go on meanwhile, in a runtime of one thread, it just does it.
pub fn run<T>(work: impl FnOnce() -> T) -> T {
    run_in(&PLACES, work)
}

/// Does what may take long with a text, by its length.
pub fn read<T>(text: &[u8], work: impl FnOnce(&[u8]) -> T) -> T {
    if text.len() > LARGE {
        run(|| work(text))
    } else {
        work(text)
    }
}

/// A future, each step of which is done aside where it takes long. What is always ready is not made to yield there.
pub async fn when<F: Future>(is_long: bool, mut work: Pin<&mut F>) -> F::Output {
    let step = |context: &mut Context<'_>| {
        let mut poll = || work.as_mut().poll(context);
        if is_long { run(poll) } else { poll() }
    };
    poll_fn(step).await
}

fn run_in<T>(places: &Semaphore, work: impl FnOnce() -> T) -> T {
    let has_others = Handle::try_current().is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread);
    if has_others && let Ok(_place) = places.try_acquire() {
        block_in_place(work)
    } else {
        work()
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn the_other_tasks_of_a_thread_go_on_meanwhile() {
        let (say, heard) = mpsc::channel();
        let long = tokio::spawn(async move {
            let other = tokio::spawn(async move { say.send(()) });
            // Computes until the other has said something.
            let computes = || heard.recv_timeout(Duration::from_secs(20)).is_ok();
            let went_on = run_in(&Semaphore::new(1), computes);
            (went_on, other.await.is_ok())
        });
        assert_eq!(long.await.unwrap(), (true, true));
    }

    #[tokio::test]
    async fn in_a_runtime_of_one_thread_it_is_done_as_it_is() {
        let places = Semaphore::new(1);
        assert_eq!(run_in(&places, || places.available_permits()), 1);
        assert_eq!(when(true, pin!(async { 8 })).await, 8);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn where_there_is_no_place_and_inside_another_it_is_done_as_it_is() {
        let done = tokio::spawn(async {
            let (none, one) = (Semaphore::new(0), Semaphore::new(1));
            (run_in(&none, || 7), run_in(&one, || run(|| one.available_permits())))
        });
        assert_eq!(done.await.unwrap(), (7, 0));
        assert_eq!(read(&vec![0; LARGE + 1], <[u8]>::len), LARGE + 1);
        assert_eq!(when(true, pin!(async { 8 })).await, 8);
    }
}
