//! What somebody sees of the bank who looks now and then.

use bson::{Document, doc};
use futures_util::TryStreamExt as _;
use mongodb::Client;
use mongodb::error::{Error, ErrorKind};

use super::bank::{COLLECTIONS, TOTAL};

/// What was seen so far.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// How often it was looked at.
    pub(super) times: u32,
    /// How often there was neither all of the money nor none of it.
    pub(super) broken: u32,
    /// How many papers there were the last time.
    pub(super) papers: u64,
}

impl Seen {
    /// What is seen now.
    pub(super) async fn at(client: &Client) -> Self {
        let mut seen = Self::default();
        while seen.times == 0 {
            seen.look(client).await;
        }
        seen
    }

    /// Looks once more, at everything at one moment.
    pub(super) async fn look(&mut self, client: &Client) {
        match state(client).await {
            Ok((money, papers)) => {
                self.times += 1;
                self.broken += u32::from(money != 0 && money != TOTAL);
                self.papers = papers;
            }
            // A collection is so new that nothing can be said of it.
            Err(error) if is_too_new(&error) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

fn is_too_new(error: &Error) -> bool {
    const SNAPSHOT_UNAVAILABLE: i32 = 246;
    matches!(&*error.kind, ErrorKind::Command(error) if error.code == SNAPSHOT_UNAVAILABLE)
}

/// How much money there is, and how many papers.
async fn state(client: &Client) -> Result<(i64, u64), Error> {
    let mut session = client.start_session().snapshot(true).await?;
    let bank = client.database("bank");
    let mut money = 0;
    for coll in COLLECTIONS {
        let coll = bank.collection::<Document>(coll);
        let mut accounts = coll.find(doc! {}).session(&mut session).await?;
        let accounts: Vec<_> = accounts.stream(&mut session).try_collect().await?;
        money += accounts.iter().map(|account| account.get_i64("money").unwrap()).sum::<i64>();
    }
    let papers = bank.collection::<Document>("papers");
    Ok((money, papers.count_documents(doc! {}).session(&mut session).await?))
}
