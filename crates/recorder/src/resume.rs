//! Where a recording begins: decided from values, without touching a server.

use changetape_core::{ClusterTime, ResumeToken};
use changetape_tape::{Checkpoint, Edge};

use crate::Since;

/// Where the stream is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Start {
    /// At the present; the server's first batch says which token that is.
    Now,
    /// At a cluster time, inclusive.
    At(ClusterTime),
    /// After a token.
    After(ResumeToken),
}

impl Start {
    /// The cluster time there, as far as it shows.
    pub(crate) fn time(&self) -> Option<ClusterTime> {
        match self {
            Self::Now => None,
            Self::At(time) => Some(*time),
            Self::After(token) => token.cluster_time(),
        }
    }

    /// A tape that has a checkpoint continues there, and one that has only a base after its
    /// time, whatever `since` says: anything else would lose events or record them twice.
    pub(crate) fn choose(
        checkpoint: Option<&Checkpoint>,
        base: Option<ClusterTime>,
        since: &Since,
    ) -> Self {
        match (checkpoint, base, since) {
            (Some(checkpoint), _, _) => Self::After(checkpoint.token.clone()),
            // What happened at the base's time is part of it, and the stream begins inclusively.
            (None, Some(time), _) => Self::At(time.successor()),
            (None, None, Since::Now) => Self::Now,
            (None, None, Since::Time(time)) => {
                // Cluster time knows seconds only: begin with the second that holds the time.
                let seconds = time.as_millis().div_euclid(1000);
                Self::At(ClusterTime::at_second(u32::try_from(seconds).unwrap_or(0)))
            }
            (None, None, Since::Cluster(time)) => Self::At(*time),
            (None, None, Since::Token(token)) => Self::After(token.clone()),
        }
    }
}

impl From<&Start> for Edge {
    fn from(start: &Start) -> Self {
        match start {
            Start::After(token) => Self::at(token.clone()),
            Start::At(time) => Self { token: None, time: Some(*time) },
            Start::Now => Self::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use changetape_core::{Seq, WallTime};

    use super::*;

    fn token(last: char) -> ResumeToken {
        ResumeToken::from_data(&format!("826B02A9B5000000132B022C0100296F0{last}")).unwrap()
    }

    #[test]
    fn a_checkpoint_wins_over_since() {
        let checkpoint = Checkpoint { token: token('4'), next: Seq::new(7) };
        for since in
            [Since::Now, Since::Cluster(ClusterTime::at_second(1)), Since::Token(token('5'))]
        {
            for base in [None, Some(ClusterTime::at_second(1))] {
                let start = Start::choose(Some(&checkpoint), base, &since);
                assert_eq!(start, Start::After(token('4')));
            }
        }
    }

    #[test]
    fn a_base_goes_on_with_the_first_time_after_it() {
        let at = |seconds, increment| ClusterTime { seconds, increment };
        for (base, after) in [(at(7, 3), at(7, 4)), (at(7, u32::MAX), at(8, 0))] {
            let start = Start::choose(None, Some(base), &Since::Token(token('5')));
            assert_eq!(start, Start::At(after));
        }
    }

    #[test]
    fn a_new_tape_begins_where_it_is_told() {
        assert_eq!(Start::choose(None, None, &Since::Now), Start::Now);
        assert_eq!(Start::choose(None, None, &Since::Token(token('5'))), Start::After(token('5')));
        let time = Since::Time(WallTime::from_millis(1_999));
        assert_eq!(Start::choose(None, None, &time), Start::At(ClusterTime::at_second(1)));
    }
}
