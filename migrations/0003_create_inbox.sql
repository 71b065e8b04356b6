-- +goose Up

CREATE TABLE inbox (
    update_id   bigint PRIMARY KEY,
    arrival     bigint GENERATED ALWAYS AS IDENTITY,
    lane        bigint NOT NULL,
    kind        text NOT NULL,
    body        bytea NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    state       text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'done', 'stale', 'dead')),
    attempt     int NOT NULL DEFAULT 0,
    run_after   timestamptz NOT NULL DEFAULT now(),
    tried_at    timestamptz,
    closed_at   timestamptz,
    error       text NOT NULL DEFAULT '',
    CHECK ((state = 'waiting') = (closed_at IS NULL))
);
COMMENT ON TABLE inbox IS 'Every update Telegram was told we have. Handled in order of arrival within a lane (one user); rows are kept 72 h to know redeliveries.';
CREATE INDEX inbox_waiting ON inbox (lane, arrival) WHERE state = 'waiting';
CREATE INDEX inbox_dead ON inbox (closed_at) WHERE state = 'dead';
CREATE INDEX inbox_received ON inbox (received_at);

CREATE TABLE lanes (
    lane         bigint PRIMARY KEY,
    holder       text NOT NULL,
    leased_until timestamptz NOT NULL
);
COMMENT ON TABLE lanes IS 'Which process works a lane now; a lease that ran out is anybody''s.';

CREATE TABLE processes (
    holder  text PRIMARY KEY,
    seen_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE processes IS 'Who is alive. What a process that is seen no more had in hand, its lanes and its jobs, is handed back.';

CREATE TABLE dead_letters (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source      text NOT NULL,
    reason      text NOT NULL,
    body        bytea NOT NULL,
    digest      bytea NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (source, digest)
);
COMMENT ON TABLE dead_letters IS 'Authenticated deliveries that could not be understood; kept for an operator.';

CREATE TABLE dialogs (
    user_id    bigint PRIMARY KEY REFERENCES users,
    message_id bigint NOT NULL,
    screen     text NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE dialogs IS 'The message in which a customer''s screen lives, and which screen it shows.';

-- +goose Down
DROP TABLE dialogs, dead_letters, processes, lanes, inbox;
