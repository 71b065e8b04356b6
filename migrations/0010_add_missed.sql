-- +goose Up

ALTER TABLE users ADD COLUMN missed_at timestamptz;
COMMENT ON COLUMN users.missed_at IS 'Since when they have missed a notice, because they had blocked the bot: where they stand is told when they come back.';

-- Until now an order whose notice could not be sent was marked as not delivered. Nobody
-- waits for those: who is paid for and not let in is waiting.
WITH told AS (
    UPDATE orders SET delivered_at = paid_at
    FROM subscriptions
    WHERE orders.status = 'paid' AND orders.delivered_at IS NULL
        AND subscriptions.user_id = orders.user_id AND subscriptions.status <> 'waiting'
    RETURNING orders.user_id
)
UPDATE users SET missed_at = now() WHERE id IN (SELECT user_id FROM told) AND NOT reachable;

-- +goose Down
ALTER TABLE users DROP COLUMN missed_at;
