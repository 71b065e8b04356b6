-- +goose NO TRANSACTION
-- +goose Up
SET lock_timeout = 0;

-- A statement that looks for a settled payment by its own id must not think that the
-- index of orders, read from end to end, will do as well as the one that has the id.
DROP INDEX CONCURRENTLY IF EXISTS payment_events_one_order;
CREATE UNIQUE INDEX CONCURRENTLY payment_events_one_order ON payment_events (order_id) WHERE outcome = 'settled' AND order_id IS NOT NULL;
DROP INDEX CONCURRENTLY IF EXISTS payment_events_order;

DROP INDEX CONCURRENTLY IF EXISTS ledger_postings_reference;
CREATE UNIQUE INDEX CONCURRENTLY ledger_postings_reference ON ledger_postings (kind, reference) WHERE reference IS NOT NULL;
ALTER TABLE ledger_postings VALIDATE CONSTRAINT ledger_postings_of;

RESET lock_timeout;

-- +goose Down
DROP INDEX CONCURRENTLY ledger_postings_reference;
CREATE UNIQUE INDEX CONCURRENTLY payment_events_order ON payment_events (order_id) WHERE outcome = 'settled';
DROP INDEX CONCURRENTLY payment_events_one_order;
