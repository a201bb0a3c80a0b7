//! Documents of which two are more than a server sends in one event.

use bson::{Document, doc};
use mongodb::{Collection, Database};

/// Their text, in letters.
pub(crate) const LARGE: usize = 10 << 20;

/// Makes the collection `c` with pre-images: an event that replaces a large document by another
/// one holds both.
pub(crate) async fn with_images(database: &Database) -> Collection<Document> {
    let images = doc! {"create": "c", "changeStreamPreAndPostImages": {"enabled": true}};
    database.run_command(images).await.unwrap();
    database.collection("c")
}

/// Inserts a large document that is full of a letter.
pub(crate) async fn insert(coll: &Collection<Document>, id: i32, letter: &str) {
    coll.insert_one(doc! {"_id": id, "x": letter.repeat(LARGE)}).await.unwrap();
}

/// Replaces a document by a large one that is full of a letter.
pub(crate) async fn replace(coll: &Collection<Document>, id: i32, letter: &str) {
    coll.replace_one(doc! {"_id": id}, doc! {"x": letter.repeat(LARGE)}).await.unwrap();
}
