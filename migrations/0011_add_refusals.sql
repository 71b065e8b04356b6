-- +goose Up

ALTER TABLE invoices ADD COLUMN refusals integer NOT NULL DEFAULT 0;
COMMENT ON COLUMN invoices.refusals IS 'How often the provider has refused to make it.';

ALTER TABLE subscriptions ADD COLUMN renewal boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN subscriptions.renewal IS 'Of one that waits: nodes let the customer in all the while.';

-- +goose Down
ALTER TABLE subscriptions DROP COLUMN renewal;
ALTER TABLE invoices DROP COLUMN refusals;
