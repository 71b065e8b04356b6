-- +goose Up

CREATE TABLE listened (
    hour  bigint PRIMARY KEY,
    heard boolean NOT NULL
);
COMMENT ON TABLE listened IS 'The hours since 1970 in which Telegram could deliver to us, and whether an update came in them.';

-- +goose Down
DROP TABLE listened;
