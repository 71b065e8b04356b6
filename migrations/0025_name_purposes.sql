-- +goose Up

ALTER TABLE orders ADD COLUMN purpose text NOT NULL DEFAULT 'access',
    ALTER COLUMN plan DROP NOT NULL, ALTER COLUMN period_id DROP NOT NULL, ALTER COLUMN period_seconds DROP NOT NULL;
COMMENT ON COLUMN orders.purpose IS 'What it buys: access, for a plan and a period. A program that does not know it leaves the order to a newer one.';

-- +goose Down
ALTER TABLE orders DROP COLUMN purpose,
    ALTER COLUMN plan SET NOT NULL, ALTER COLUMN period_id SET NOT NULL, ALTER COLUMN period_seconds SET NOT NULL;
