-- +goose Up

CREATE TABLE incidents (
    component text NOT NULL,
    code      text NOT NULL,
    reason    text NOT NULL,
    since     timestamptz NOT NULL,
    PRIMARY KEY (component, code)
);
COMMENT ON TABLE incidents IS 'What the operator has been told is wrong and not yet that it is over.';

CREATE TABLE webhook_secrets (
    digest        bytea PRIMARY KEY,
    announced_at  timestamptz NOT NULL DEFAULT now(),
    superseded_at timestamptz
);
COMMENT ON TABLE webhook_secrets IS 'SHA-256 of the secrets that Telegram was or is about to be told; a superseded one is accepted for a while.';

ALTER TABLE processes ADD COLUMN started_at timestamptz NOT NULL DEFAULT now();
COMMENT ON COLUMN processes.started_at IS 'The process that has been alive longest is the one that reports to the operator.';

ALTER TABLE inbox ADD COLUMN reviewed_at timestamptz;
ALTER TABLE dead_letters ADD COLUMN reviewed_at timestamptz;
ALTER TABLE payment_events ADD COLUMN reviewed_at timestamptz;
COMMENT ON COLUMN inbox.reviewed_at IS 'When an operator had looked at a dead update; until then /healthz counts it.';
COMMENT ON COLUMN dead_letters.reviewed_at IS 'When an operator had looked at it; until then /healthz counts it.';
COMMENT ON COLUMN payment_events.reviewed_at IS 'When an operator had looked at a flagged event; until then /healthz counts it.';
CREATE INDEX dead_letters_unreviewed ON dead_letters (id) WHERE reviewed_at IS NULL;
CREATE INDEX payment_events_unreviewed ON payment_events (id) WHERE outcome = 'flagged' AND reviewed_at IS NULL;
CREATE INDEX orders_placed ON orders (user_id, created_at);
DROP INDEX inbox_dead;
CREATE INDEX inbox_dead ON inbox (update_id) WHERE state = 'dead' AND reviewed_at IS NULL;

-- +goose Down
DROP INDEX inbox_dead;
CREATE INDEX inbox_dead ON inbox (closed_at) WHERE state = 'dead';
DROP INDEX orders_placed;
ALTER TABLE payment_events DROP COLUMN reviewed_at;
ALTER TABLE dead_letters DROP COLUMN reviewed_at;
ALTER TABLE inbox DROP COLUMN reviewed_at;
ALTER TABLE processes DROP COLUMN started_at;
DROP TABLE webhook_secrets, incidents;
