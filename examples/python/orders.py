"""Writes to shop.orders in every way that a change stream reports documents change.

    python3 orders.py [URI]

Each order is changed at most once after it was inserted, so that what a lookup finds
(full_document="updateLookup") does not depend on how soon after the change it is made.
"""

import argparse
import datetime

from bson import Decimal128, Int64
from pymongo import InsertOne, MongoClient, UpdateOne


def order(number):
    return {
        "_id": number,
        "customer": "Łucja",
        "status": "placed",
        "placed": datetime.datetime(2026, 3, 2, 8, number),
        "items": [
            {"sku": "A-0001", "quantity": 1, "price": Decimal128("19.90")},
            {"sku": "A-0002", "quantity": 2, "price": Decimal128("5.00")},
        ],
        "weight": 1.5,
        "points": Int64(100),
        "note": 'say "hello"\nat the door',
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("uri", nargs="?", default="mongodb://localhost:27017")
    client = MongoClient(parser.parse_args().uri)
    shop = client.shop

    # What full_document="required" and full_document_before_change="required" need.
    shop.create_collection("orders", changeStreamPreAndPostImages={"enabled": True})
    orders = shop.orders

    orders.insert_one(order(1))
    orders.insert_many([order(number) for number in range(2, 16)])

    # Fields.
    orders.update_one({"_id": 1}, {"$set": {"status": "paid", "paid.by": "card"}})
    orders.update_one({"_id": 2}, {"$unset": {"note": ""}, "$inc": {"points": 5}})
    orders.update_one({"_id": 3}, {"$rename": {"note": "comment"}, "$mul": {"weight": 2}})

    # Arrays: an element changed, appended, removed; cut.
    orders.update_one({"_id": 4}, {"$set": {"items.0.quantity": 7}})
    orders.update_one({"_id": 5, "items.sku": "A-0002"}, {"$inc": {"items.$.quantity": 1}})
    orders.update_one({"_id": 6}, {"$push": {"items": {"sku": "A-0003", "quantity": 3}}})
    orders.update_one({"_id": 7}, {"$pull": {"items": {"sku": "A-0001"}}})
    orders.update_one({"_id": 8}, {"$push": {"items": {"$each": [], "$slice": 1}}})

    # With a pipeline: computed, and moved to the end of the document.
    orders.update_one({"_id": 9}, [{"$set": {"total": {"$sum": "$items.quantity"}}}])
    orders.update_one(
        {"_id": 10},
        [
            {"$set": {"kept": "$status"}},
            {"$unset": "status"},
            {"$set": {"status": "$kept"}},
            {"$unset": "kept"},
        ],
    )

    # Whole documents.
    orders.replace_one({"_id": 11}, {"status": "replaced", "by": None})
    orders.find_one_and_replace({"_id": 12}, {"status": "replaced", "tags": ["a", "b"]})
    orders.delete_one({"_id": 13})
    orders.find_one_and_delete({"_id": 14})

    # An update that inserts, several operations in one command, a transaction.
    orders.update_one({"_id": 20}, {"$set": {"status": "placed"}}, upsert=True)
    orders.bulk_write([InsertOne(order(21)), UpdateOne({"_id": 15}, {"$set": {"status": "sent"}})])
    with client.start_session() as session, session.start_transaction():
        orders.insert_one(order(22), session=session)
        orders.update_one({"_id": 21}, {"$set": {"with": 22}}, session=session)


if __name__ == "__main__":
    main()
