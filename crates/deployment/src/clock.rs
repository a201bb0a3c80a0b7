//! How far a deployment is, by its own clock.

use bson::{Timestamp, doc};

use crate::Deployment;

impl Deployment {
    /// The present cluster time, as the primary tells it: what happens from now on comes after it.
    /// `None` if it tells none, as a set with authentication does until it has made its signing
    /// keys, some seconds after it was initiated.
    ///
    /// # Errors
    /// The driver's own: whether trying again can help is for the caller to judge.
    pub async fn now(&self) -> Result<Option<Timestamp>, mongodb::error::Error> {
        let admin = self.client().database("admin");
        let reply = self.answer(admin.run_command(doc! {"ping": 1})).await?;
        Ok(reply.get_timestamp("operationTime").ok())
    }
}
