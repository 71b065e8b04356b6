-- +goose Up
CREATE TABLE left_alone (
    user_id     bigint PRIMARY KEY,
    alone_until timestamptz NOT NULL
);
COMMENT ON TABLE left_alone IS 'Customers whose chat takes no more messages for now: their own pace, or Telegram, asks for it. What waits for that is not late.';

-- +goose Down
DROP TABLE left_alone;
