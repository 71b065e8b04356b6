-- +goose Up

ALTER TABLE nodes
    ADD COLUMN owed boolean NOT NULL DEFAULT false,
    ADD COLUMN failing_since timestamptz,
    ADD COLUMN sync_after timestamptz,
    ADD CHECK ((failing_since IS NULL) = (sync_after IS NULL));
COMMENT ON COLUMN nodes.owed IS 'It could not be told of a change: its next check compares it fully.';
COMMENT ON COLUMN nodes.failing_since IS 'Since when no full comparison has succeeded, if the last one has not ended well.';
COMMENT ON COLUMN nodes.sync_after IS 'The next one is not tried before.';

-- +goose Down
ALTER TABLE nodes DROP COLUMN sync_after, DROP COLUMN failing_since, DROP COLUMN owed;
