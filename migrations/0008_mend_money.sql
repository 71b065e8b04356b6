-- +goose Up

-- At least six digits, and as many as the number has.
ALTER TABLE subscriptions ALTER COLUMN access_id SET DEFAULT 'a' || to_char(nextval('access_number'), 'FM9999999999999000000');

ALTER TABLE invoices ADD COLUMN leased_until timestamptz;
COMMENT ON COLUMN invoices.leased_until IS 'Until when one process alone may ask the provider for it.';

ALTER TABLE orders ADD COLUMN assets text[];
COMMENT ON COLUMN orders.assets IS 'In which it may be paid, as it was placed; null: as the settings say.';

CREATE TABLE sweeps (
    provider text PRIMARY KEY,
    began_at timestamptz NOT NULL
);
COMMENT ON TABLE sweeps IS 'When the last sweep of a provider''s own list that read all of it began: what it did not find was not paid before.';

ALTER TABLE inbox ADD COLUMN handed_back integer NOT NULL DEFAULT 0;
COMMENT ON COLUMN inbox.handed_back IS 'How many processes have died while they worked it.';

ALTER TABLE ledger_postings ALTER COLUMN order_id DROP NOT NULL, ADD COLUMN reference text;
ALTER TABLE ledger_postings ADD CONSTRAINT ledger_postings_of CHECK (num_nonnulls(order_id, reference) > 0) NOT VALID;
COMMENT ON COLUMN ledger_postings.reference IS 'Of a posting of no order: the payment, as provider:id; one posting of a kind for each.';

-- +goose Down
ALTER TABLE ledger_postings DROP CONSTRAINT ledger_postings_of, DROP COLUMN reference, ALTER COLUMN order_id SET NOT NULL;
ALTER TABLE inbox DROP COLUMN handed_back;
DROP TABLE sweeps;
ALTER TABLE orders DROP COLUMN assets;
ALTER TABLE invoices DROP COLUMN leased_until;
ALTER TABLE subscriptions ALTER COLUMN access_id SET DEFAULT 'a' || lpad(nextval('access_number')::text, 6, '0');
