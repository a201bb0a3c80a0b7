//! The shop's ordinary steps: orders placed, changed, replaced, removed.

use bson::{Document, doc};
use changetape_core::OperationType;
use mongodb::ClientSession;

use super::Shop;
use super::documents::{ARTICLES, CUSTOMERS, order, sku, visit};
use super::updates::{self, OrderUpdate};
use crate::Error;

/// Below this many open orders only new ones are placed.
const FEW: usize = 5;

impl Shop {
    /// One step.
    pub(super) async fn trade(&mut self) -> Result<(), Error> {
        if self.open_orders.len() < FEW {
            return self.place().await;
        }
        match self.rng.u32(..100) {
            0..18 => self.place().await,
            18..24 => self.place_in_transaction().await,
            24..27 => self.place_several().await,
            27..30 => self.upsert().await,
            30..72 => self.update().await,
            72..76 => self.update_many().await,
            76..80 => self.visit().await,
            80..87 => self.replace().await,
            87..90 => self.replace_in_pipeline().await,
            90..97 => self.delete().await,
            _ => self.delete_many().await,
        }
    }

    async fn place(&mut self) -> Result<(), Error> {
        let order = self.new_order();
        self.collection("orders").insert_one(order).await.map_err(Error::mongo("place"))?;
        self.tally.add(OperationType::Insert, 1);
        Ok(())
    }

    async fn place_several(&mut self) -> Result<(), Error> {
        let orders: Vec<_> = (0..self.rng.u32(2..=8)).map(|_| self.new_order()).collect();
        let done = self.collection("orders").insert_many(orders).await;
        let inserted = done.map_err(Error::mongo("place several"))?.inserted_ids.len();
        self.tally.add(OperationType::Insert, u64::try_from(inserted).unwrap_or(u64::MAX));
        Ok(())
    }

    /// Three collections at once: the order, the stock of what is in it, the customer.
    async fn place_in_transaction(&mut self) -> Result<(), Error> {
        let doing = "place in a transaction";
        let order = self.new_order();
        let mut session = self.client.start_session().await.map_err(Error::mongo(doing))?;
        session.start_transaction().await.map_err(Error::mongo(doing))?;
        let updates = self.write_order(&mut session, order).await.map_err(Error::mongo(doing))?;
        session.commit_transaction().await.map_err(Error::mongo(doing))?;
        self.tally.add(OperationType::Insert, 1);
        self.tally.add(OperationType::Update, updates);
        Ok(())
    }

    async fn write_order(
        &mut self,
        session: &mut ClientSession,
        order: Document,
    ) -> Result<u64, mongodb::error::Error> {
        let id = order.get_i64("_id").unwrap_or_default();
        let customer = order.get_i32("customer").unwrap_or_default();
        self.collection("orders").insert_one(&order).session(&mut *session).await?;
        let mut updates = 0;
        for item in order.get_array("items").into_iter().flatten().filter_map(|i| i.as_document()) {
            let take = doc! {"$inc": {"in_stock": -item.get_i32("quantity").unwrap_or(1)}};
            let article = doc! {"_id": item.get_str("sku").unwrap_or_default()};
            let stock = self.collection("stock");
            updates += stock.update_one(article, take).session(&mut *session).await?.modified_count;
        }
        let remember = doc! {"$push": {"recent_orders": {"$each": [id], "$slice": -5}}};
        let customers = self.collection("customers");
        let done =
            customers.update_one(doc! {"_id": customer}, remember).session(&mut *session).await?;
        Ok(updates + done.modified_count)
    }

    async fn upsert(&mut self) -> Result<(), Error> {
        let mut order = self.new_order();
        let id = order.remove("_id").unwrap_or_default();
        let orders = self.collection("orders");
        let upsert = orders.update_one(doc! {"_id": id}, doc! {"$set": order}).upsert(true);
        upsert.await.map_err(Error::mongo("upsert"))?;
        self.tally.add(OperationType::Insert, 1);
        Ok(())
    }

    async fn update(&mut self) -> Result<(), Error> {
        let Some(id) = self.some_order() else { return Ok(()) };
        let (kind, change) = (self.rng.u32(..updates::KINDS), self.change_number());
        let OrderUpdate { update, array_filters } =
            updates::order_update(kind, &mut self.rng, change);
        let orders = self.collection("orders");
        let mut action = orders.update_one(doc! {"_id": id}, update);
        if !array_filters.is_empty() {
            action = action.array_filters(array_filters);
        }
        let done = action.await.map_err(Error::mongo("update an order"))?;
        self.tally.add(OperationType::Update, done.modified_count);
        Ok(())
    }

    async fn update_many(&mut self) -> Result<(), Error> {
        let change = self.change_number();
        let first = self.rng.i32(0..ARTICLES);
        let some = doc! {"_id": {"$gte": sku(first), "$lt": sku(first + 5)}};
        let dearer = doc! {"$mul": {"weight": 1.01}, "$set": {"change": change}};
        let done = self.collection("stock").update_many(some, dearer).await;
        let done = done.map_err(Error::mongo("update the stock"))?;
        self.tally.add(OperationType::Update, done.modified_count);
        Ok(())
    }

    async fn visit(&mut self) -> Result<(), Error> {
        let mut visit = visit(&mut self.rng, self.next_order);
        visit.insert("_id", self.change_number());
        self.collection("visits").insert_one(visit).await.map_err(Error::mongo("visit"))?;
        self.tally.add(OperationType::Insert, 1);
        Ok(())
    }

    async fn replace(&mut self) -> Result<(), Error> {
        let Some(id) = self.some_order() else { return Ok(()) };
        let mut other = order(&mut self.rng, id);
        other.insert("change", self.change_number());
        let orders = self.collection("orders");
        let done = orders.replace_one(doc! {"_id": id}, other).await;
        let replaced = done.map_err(Error::mongo("replace an order"))?.modified_count;
        self.tally.add(OperationType::Replace, replaced);
        Ok(())
    }

    /// An update in form, but so much changes that the server logs a whole document.
    async fn replace_in_pipeline(&mut self) -> Result<(), Error> {
        let change = self.change_number();
        let customer = self.rng.i32(0..CUSTOMERS);
        let mut anew = doc! {"_id": "$_id", "email": "$email"};
        // New names each time, so that a diff, which would have to name the old ones as well,
        // is longer than the document.
        anew.extend((0..8).map(|field| (format!("left_{change}_{field}"), change.into())));
        let anew = vec![doc! {"$replaceWith": anew}];
        let done = self.collection("customers").update_one(doc! {"_id": customer}, anew).await;
        let done = done.map_err(Error::mongo("replace a customer"))?;
        self.tally.add(OperationType::Replace, done.modified_count);
        Ok(())
    }

    async fn delete(&mut self) -> Result<(), Error> {
        let Some(id) = self.take_order() else { return Ok(()) };
        let done = self.collection("orders").delete_one(doc! {"_id": id}).await;
        self.tally.add(OperationType::Delete, done.map_err(Error::mongo("delete"))?.deleted_count);
        Ok(())
    }

    async fn delete_many(&mut self) -> Result<(), Error> {
        let ids: Vec<_> = (0..3).filter_map(|_| self.take_order()).collect();
        let done = self.collection("orders").delete_many(doc! {"_id": {"$in": ids}}).await;
        let deleted = done.map_err(Error::mongo("delete several"))?.deleted_count;
        self.tally.add(OperationType::Delete, deleted);
        Ok(())
    }

    fn new_order(&mut self) -> Document {
        let id = self.next_order;
        self.next_order += 1;
        self.open_orders.push(id);
        order(&mut self.rng, id)
    }

    fn some_order(&mut self) -> Option<i64> {
        self.rng.choice(&self.open_orders).copied()
    }

    fn take_order(&mut self) -> Option<i64> {
        if self.open_orders.is_empty() {
            return None;
        }
        let at = self.rng.usize(..self.open_orders.len());
        Some(self.open_orders.swap_remove(at))
    }
}
