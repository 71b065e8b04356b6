-- +goose Up

CREATE TABLE tls_files (
    key         text PRIMARY KEY CHECK (key <> ''),
    value       bytea NOT NULL,
    modified_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE tls_files IS 'What the HTTPS edge keeps: certificates, their private keys, the account at the CA, challenges. Every value is sealed with APP_KEY.';

CREATE TABLE tls_locks (
    name         text PRIMARY KEY,
    holder       text NOT NULL,
    leased_until timestamptz NOT NULL
);
COMMENT ON TABLE tls_locks IS 'Which process orders a certificate now; a lease that ran out is anybody''s.';

-- +goose Down
DROP TABLE tls_locks, tls_files;
