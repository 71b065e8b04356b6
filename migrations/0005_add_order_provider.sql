-- +goose Up

ALTER TABLE orders
    ADD COLUMN provider text NOT NULL DEFAULT 'cryptobot',
    ADD CONSTRAINT orders_stars CHECK ((provider = 'stars') = (currency = 'XTR'));
COMMENT ON COLUMN orders.provider IS 'By way of whom the order is to be paid.';

-- +goose Down
ALTER TABLE orders DROP COLUMN provider;
