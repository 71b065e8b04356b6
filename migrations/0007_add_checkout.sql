-- +goose Up

ALTER TABLE orders
    ADD COLUMN checkout_id text,
    ADD COLUMN checkout_at timestamptz,
    ADD COLUMN checkout_agreed boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN orders.checkout_id IS 'Of the pre-checkout that we are about to agree to, or have; the provider''s own id.';
COMMENT ON COLUMN orders.checkout_at IS 'When we were about to agree: no other is agreed to for a while.';
COMMENT ON COLUMN orders.checkout_agreed IS 'Whether the provider took our consent: only then may an update that tells of the payment be believed by itself.';

-- +goose Down
ALTER TABLE orders DROP COLUMN checkout_agreed, DROP COLUMN checkout_at, DROP COLUMN checkout_id;
