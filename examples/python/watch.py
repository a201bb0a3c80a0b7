"""Prints the changes of a collection, one event a line, as canonical Extended JSON.

    python3 watch.py [URI] [--collection shop.orders] [--full-document updateLookup]
                     [--full-document-before-change required]

`changetape cat` prints the same lines for the same events; but from a server 6.0.9 or later, the
tokens have another form than here. Ends with Ctrl-C.
"""

import argparse
import sys

from bson.json_util import CANONICAL_JSON_OPTIONS, dumps
from pymongo import MongoClient


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("uri", nargs="?", default="mongodb://localhost:27017")
    parser.add_argument("--collection", default="shop.orders")
    parser.add_argument("--full-document")
    parser.add_argument("--full-document-before-change")
    args = parser.parse_args()

    client = MongoClient(args.uri)
    database, collection = args.collection.split(".", 1)
    changes = client[database][collection].watch(
        full_document=args.full_document,
        full_document_before_change=args.full_document_before_change,
    )
    with changes:
        print("watching", file=sys.stderr, flush=True)
        for event in changes:
            line = dumps(
                event,
                json_options=CANONICAL_JSON_OPTIONS,
                ensure_ascii=False,
                separators=(",", ":"),
            )
            print(line, flush=True)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
