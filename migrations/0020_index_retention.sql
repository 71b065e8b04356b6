-- +goose NO TRANSACTION
-- +goose Up
SET lock_timeout = 0;

DROP INDEX CONCURRENTLY IF EXISTS inbox_handled;
CREATE INDEX CONCURRENTLY inbox_handled ON inbox (received_at) WHERE state IN ('done', 'stale');
DROP INDEX CONCURRENTLY IF EXISTS inbox_unreviewed;
CREATE INDEX CONCURRENTLY inbox_unreviewed ON inbox (received_at) WHERE state = 'dead' AND reviewed_at IS NULL;
DROP INDEX CONCURRENTLY IF EXISTS inbox_reviewed;
CREATE INDEX CONCURRENTLY inbox_reviewed ON inbox (reviewed_at) WHERE state = 'dead';
DROP INDEX CONCURRENTLY IF EXISTS inbox_numbered;
CREATE INDEX CONCURRENTLY inbox_numbered ON inbox (received_at) WHERE state = 'dead' AND update_id > 0;
DROP INDEX CONCURRENTLY IF EXISTS letters_unreviewed;
CREATE INDEX CONCURRENTLY letters_unreviewed ON dead_letters (received_at) WHERE reviewed_at IS NULL;
DROP INDEX CONCURRENTLY IF EXISTS letters_reviewed;
CREATE INDEX CONCURRENTLY letters_reviewed ON dead_letters (reviewed_at) WHERE reviewed_at IS NOT NULL;
DROP INDEX CONCURRENTLY IF EXISTS payment_events_raw;
CREATE INDEX CONCURRENTLY payment_events_raw ON payment_events (received_at) WHERE outcome = 'settled' AND raw <> '';
DROP INDEX CONCURRENTLY IF EXISTS payment_events_reviewed;
CREATE INDEX CONCURRENTLY payment_events_reviewed ON payment_events (reviewed_at) WHERE outcome = 'flagged' AND raw <> '';
DROP INDEX CONCURRENTLY IF EXISTS payment_events_of_order;
CREATE INDEX CONCURRENTLY payment_events_of_order ON payment_events (order_id);
DROP INDEX CONCURRENTLY IF EXISTS ledger_postings_order;
CREATE INDEX CONCURRENTLY ledger_postings_order ON ledger_postings (order_id);
DROP INDEX CONCURRENTLY IF EXISTS orders_closed;
CREATE INDEX CONCURRENTLY orders_closed ON orders (created_at) WHERE status IN ('expired', 'cancelled');
DROP INDEX CONCURRENTLY IF EXISTS users_looked;
CREATE INDEX CONCURRENTLY users_looked ON users (looked_at);

DROP INDEX CONCURRENTLY IF EXISTS inbox_received;
DROP INDEX CONCURRENTLY IF EXISTS inbox_dead;
DROP INDEX CONCURRENTLY IF EXISTS dead_letters_unreviewed;

ALTER TABLE users VALIDATE CONSTRAINT users_id_check;
ALTER TABLE subscriptions VALIDATE CONSTRAINT subscriptions_user_id_fkey;
ALTER TABLE orders VALIDATE CONSTRAINT orders_user_id_fkey;
ALTER TABLE dialogs VALIDATE CONSTRAINT dialogs_user_id_fkey;

RESET lock_timeout;

-- +goose Down
CREATE INDEX inbox_received ON inbox (received_at);
CREATE INDEX inbox_dead ON inbox (update_id) WHERE state = 'dead' AND reviewed_at IS NULL;
CREATE INDEX dead_letters_unreviewed ON dead_letters (id) WHERE reviewed_at IS NULL;
DROP INDEX inbox_handled, inbox_unreviewed, inbox_reviewed, inbox_numbered, letters_unreviewed, letters_reviewed, payment_events_raw, payment_events_reviewed, payment_events_of_order, ledger_postings_order, orders_closed, users_looked;
