-- +goose Up

ALTER TABLE orders ADD COLUMN base_minor bigint, ADD COLUMN price_rule text NOT NULL DEFAULT '';
COMMENT ON COLUMN orders.base_minor IS 'The price by the catalogue; null, from the program before: the same as price_minor.';
COMMENT ON COLUMN orders.price_rule IS 'The one rule that lowered it to price_minor; empty if none did.';

-- +goose Down
ALTER TABLE orders DROP COLUMN base_minor, DROP COLUMN price_rule;
