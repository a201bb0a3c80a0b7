//! Reading ahead: blocks are decoded on a thread of their own while those before are taken in.

use std::sync::mpsc::sync_channel;
use std::thread;

use crate::Error;

/// How many blocks wait. Few, as each may be as large as the largest event.
const BLOCKS: usize = 2;

/// Hands over what `items` are, which are read ahead, until `take` says `false` or fails; `false` if
/// it did say so.
pub(super) fn ahead<T: Send, I: Iterator<Item = T>>(
    items: impl FnOnce() -> I + Send,
    mut take: impl FnMut(T) -> Result<bool, Error>,
) -> Result<bool, Error> {
    let (sender, receiver) = sync_channel(BLOCKS);
    thread::scope(|scope| {
        thread::Builder::new()
            .name("changetape-reader".to_owned())
            .spawn_scoped(scope, move || {
                // Until nobody takes any more.
                let _ = items().map(|item| sender.send(item)).find(Result::is_err);
            })
            .map_err(Error::Thread)?;
        for item in receiver {
            if !take(item)? {
                return Ok(false);
            }
        }
        Ok(true)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_comes_in_order() {
        let mut taken = Vec::new();
        let whole = ahead(
            || 0..100,
            |n| {
                taken.push(n);
                Ok(true)
            },
        );
        assert!(whole.unwrap());
        assert_eq!(taken, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn nobody_reads_on_for_one_that_has_stopped() {
        assert!(!ahead(|| 0.., |n| Ok(n < 10)).unwrap());
        let failed = ahead(|| 0.., |_| Err(Error::BadSpeed { input: "stands for any".to_owned() }));
        assert!(matches!(failed, Err(Error::BadSpeed { .. })));
    }
}
