-- +goose Up

CREATE TABLE backups (
    id           smallint PRIMARY KEY CHECK (id = 1),
    since        timestamptz NOT NULL DEFAULT now(),
    succeeded_at timestamptz,
    failed_at    timestamptz,
    reason       text NOT NULL DEFAULT '' CHECK (length(reason) <= 300),
    CHECK ((failed_at IS NULL) = (reason = ''))
);
COMMENT ON TABLE backups IS 'How the backups of this database go, as their script tells; a row, one at most, since they are made at all.';
COMMENT ON COLUMN backups.reason IS 'Why the last one failed; empty if it succeeded.';

-- +goose Down
DROP TABLE backups;
