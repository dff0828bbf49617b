//! What has to be random.

use std::cell::RefCell;

use aws_lc_rs::rand;

/// The system gave no random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system's source of randomness failed")]
pub struct NoRandomness;

/// Fills it.
pub fn fill(bytes: &mut [u8]) -> Result<(), NoRandomness> {
    rand::fill(bytes).map_err(|_| NoRandomness)
}

/// UUIDs that are drawn at once: asking the generator costs as much for a thousand bytes as for a few.
const DRAWN: usize = 64;

thread_local! {
    static WAITING: RefCell<Vec<[u8; 16]>> = const { RefCell::new(Vec::new()) };
}

/// A random UUID (RFC 9562 section 5.4).
pub fn uuid() -> Result<String, NoRandomness> {
    let bytes = WAITING.with_borrow_mut(|waiting| {
        if waiting.is_empty() {
            let mut drawn = [0; 16 * DRAWN];
            fill(&mut drawn)?;
            waiting.extend_from_slice(drawn.as_chunks().0);
        }
        waiting.pop().ok_or(NoRandomness)
    })?;
    Ok(uuid::Builder::from_random_bytes(bytes).into_uuid().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_uuid_comes_twice_whatever_thread_draws_it() {
        let drawn = || (0..3 * DRAWN).map(|_| uuid().unwrap()).collect::<Vec<_>>();
        let mut all = std::thread::spawn(drawn).join().unwrap();
        all.extend(drawn());
        let count = all.len();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), count);
    }

    #[test]
    fn a_uuid_is_of_version_4_and_no_two_are_the_same() {
        let (one, other) = (uuid().unwrap(), uuid().unwrap());
        assert_ne!(one, other);
        let parts: Vec<&str> = one.split('-').collect();
        assert_eq!(
            parts.iter().map(|part| part.len()).collect::<Vec<_>>(),
            [8, 4, 4, 4, 12],
            "{one}"
        );
        assert!(
            parts[2].starts_with('4') && parts[3].starts_with(['8', '9', 'a', 'b']),
            "{one}"
        );
    }
}
