-- +goose NO TRANSACTION
-- +goose Up
SET lock_timeout = 0;

DROP INDEX CONCURRENTLY IF EXISTS inbox_payments;
CREATE INDEX CONCURRENTLY inbox_payments ON inbox (lane, arrival) WHERE state = 'waiting' AND kind = 'payment';

RESET lock_timeout;

-- +goose Down
DROP INDEX CONCURRENTLY inbox_payments;
