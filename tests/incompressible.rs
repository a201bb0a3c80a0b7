//! Documents that fill disks: their text does not compress below six bits a letter.

use bson::{Document, doc};
use changetape_testkit::samples::letters;
use fastrand::Rng;
use mongodb::Collection;

/// The text of each, in letters.
const TEXT: usize = 20_000;

/// Inserts so many documents, one by one.
pub(crate) async fn insert(coll: &Collection<Document>, documents: usize) {
    let mut random = Rng::new();
    for _ in 0..documents {
        coll.insert_one(doc! {"text": letters(&mut random, TEXT)}).await.unwrap();
    }
}
