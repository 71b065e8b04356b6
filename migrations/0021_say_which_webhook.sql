-- +goose Up

ALTER TABLE processes ADD COLUMN webhook bytea;
COMMENT ON COLUMN processes.webhook IS 'Digest of the webhook that it wants; the program before says nothing.';

-- +goose Down
ALTER TABLE processes DROP COLUMN webhook;
